// What picked members decide together: hard_vote, soft_vote and soft_log_vote of the library.

const ABSTAINED = -1;
// Sums of more of them would not be exact.
const MOST_SUMMED = 300;

function readBallots(votes, classes) {
  const soft = new Map(), logs = new Map(), c = classes.length;
  const keep = (kept, take) => (member) => {
    if (!kept.has(member)) kept.set(member, take(votes.shares[member], c));
    return kept.get(member);
  };
  const truth = unpack(votes.truth), predicted = votes.predicted.map(unpack);
  return {
    n: truth.length, c, truth, predicted, shares: votes.shares,
    correct: predicted.map((own) => own.reduce((right, said, i) => right + (said === truth[i]), 0)),
    soft: keep(soft, takeSoftSteps), logs: keep(logs, takeLogSteps),
  };
}

// pick: places of members in ascending order. Gives the decided classes, the utterances that were tied, and what is
// not possible, if so.
function vote(ballots, pick, rule, tie) {
  if (!pick.length) return { problem: "Pick a member or more." };
  const sums = rule === "soft" || rule === "soft-log";
  if (sums || tie === "confidence") {
    const mute = pick.filter((member) => !ballots.shares[member]);
    if (mute.length) return { problem: "labels only", mute };
    if (pick.length > MOST_SUMMED) return { problem: `Pick at most ${MOST_SUMMED} members for this rule.` };
  }
  return sums ? voteBySums(ballots, pick, rule) : voteByCounts(ballots, pick, rule === "weighted", tie);
}

function findTop(values) {
  let highest = -Infinity, first = -1, several = false;
  for (let label = 0; label < values.length; label++) {
    if (values[label] > highest) { highest = values[label]; first = label; several = false; }
    else if (values[label] === highest) several = true;
  }
  return { highest, first, several };
}

function voteBySums(ballots, pick, rule) {
  const { n, c } = ballots, predicted = new Int32Array(n), tied = new Uint8Array(n);
  const given = pick.map(rule === "soft" ? ballots.soft : ballots.logs);
  for (let i = 0; i < n; i++) {
    const sums = new Array(c).fill(0);
    for (const steps of given) for (let label = 0; label < c; label++) sums[label] += steps[i * c + label];
    const top = findTop(sums);
    predicted[i] = top.first;
    tied[i] = top.several;
  }
  return { predicted, tied };
}

function voteByCounts(ballots, pick, isWeighted, tie) {
  const { n, c } = ballots, predicted = new Int32Array(n), tied = new Uint8Array(n);
  const weights = pick.map((member) => (isWeighted ? ballots.correct[member] : 1));
  // Of equally accurate members the earlier comes first: sorting keeps their order.
  const byAccuracy = [...pick].sort((one, other) => ballots.correct[other] - ballots.correct[one]);
  // No answer, which is as many as there are classes, is a class of its own where somebody gives it.
  const isUnanswered = pick.some((member) => ballots.predicted[member].includes(c));
  const n_classes = c + (isUnanswered ? 1 : 0);
  for (let i = 0; i < n; i++) {
    const counts = new Array(n_classes).fill(0);
    pick.forEach((member, place) => { counts[ballots.predicted[member][i]] += weights[place]; });
    const top = findTop(counts);
    predicted[i] = top.first;
    tied[i] = top.several;
    if (!top.several) continue;
    const isTop = (label) => counts[label] === top.highest;
    if (tie === "abstain") predicted[i] = ABSTAINED;
    if (tie === "best") {
      const decider = byAccuracy.find((member) => isTop(ballots.predicted[member][i]));
      predicted[i] = ballots.predicted[decider ?? pick[0]][i];
    }
    if (tie === "confidence") predicted[i] = findSurest(ballots, pick, weights, i, isTop);
  }
  return { predicted, tied };
}

// Weights times steps may be too large for floats.
function findSurest(ballots, pick, weights, i, isTop) {
  const given = pick.map(ballots.soft);
  let surest = -1, most = -1n;
  for (let label = 0; label < ballots.c; label++) {
    if (!isTop(label)) continue;
    const sum = given.reduce(
      (total, steps, place) => total + BigInt(steps[i * ballots.c + label]) * BigInt(weights[place]), 0n);
    if (sum > most) { most = sum; surest = label; }
  }
  return surest;
}
