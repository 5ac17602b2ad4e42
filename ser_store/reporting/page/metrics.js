// Figures of predicted classes, as the command's.

const Z = 1.959963984540054;

function evaluateVotes(ballots, votes) {
  const { n, c, truth } = ballots;
  const confusion = Array.from({ length: c }, () => new Array(c).fill(0));
  const support = new Array(c).fill(0);
  let correct = 0, ties = 0;
  for (let i = 0; i < n; i++) {
    const said = votes.predicted[i];
    support[truth[i]]++;
    ties += votes.tied[i];
    correct += said === truth[i];
    if (said >= 0 && said < c) confusion[truth[i]][said]++;
  }
  const share = (part, whole) => (whole ? part / whole : 0);
  const perClass = support.map((own, label) => {
    const right = confusion[label][label];
    const said = confusion.reduce((sum, row) => sum + row[label], 0);
    return {
      precision: share(right, said), recall: share(right, own), f1: share(2 * right, said + own), support: own,
    };
  });
  const occurring = perClass.filter((one) => one.support);
  const mean = (name) => share(occurring.reduce((sum, one) => sum + one[name], 0), occurring.length);
  return {
    n, correct, ties, confusion, perClass,
    accuracy: correct / n, balanced: mean("recall"), macroF1: mean("f1"), bounds: findWilson(correct, n),
  };
}

// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
function findWilson(correct, n) {
  const share = correct / n, spread = (Z * Z) / n;
  const centre = (share + spread / 2) / (1 + spread);
  const reach = (Z / (1 + spread)) * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n));
  return [Math.max(0, centre - reach), Math.min(1, centre + reach)];
}

const percent = (share, digits = 2) => `${(share * 100).toFixed(digits)}%`;
const interval = (bounds) => `${(bounds[0] * 100).toFixed(1)} – ${(bounds[1] * 100).toFixed(1)}`;
