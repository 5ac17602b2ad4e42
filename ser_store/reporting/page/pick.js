// Picked members vote, and what they decide is shown.

const BALLOTS = readBallots(READ.votes, READ.question.classes);
const NAMES = READ.members.map((one) => one.name);
const BOXES = [...document.querySelectorAll("[data-member]")].sort((one, other) => one.dataset.member - other.dataset.member);
const BALLOT = document.getElementById("ballot");

function make(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

const readPick = () => NAMES.map((_, member) => member).filter((member) => BOXES[member].checked);

// What the page votes, for whoever asks by names.
function voteNames(names, rule = "hard", tie = "lowest") {
  const pick = names.map((name) => NAMES.indexOf(name)).sort((one, other) => one - other);
  const votes = vote(BALLOTS, pick, rule, tie);
  return votes.problem ? votes : { ...evaluateVotes(BALLOTS, votes), predicted: [...votes.predicted] };
}
window.serstore = { vote: voteNames };

const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`);

function writeCommand(names, rule, tie) {
  const { on, split } = READ.question;
  const words = ["serstore", "vote", ...names, "--rule", rule, ...(tie === "lowest" ? [] : ["--tie", tie]), "--on", on, ...(split ? ["--split", split] : []), "--store", READ.store];
  return words.map(quote).join(" ");
}

function makeConfusion(figures, classes) {
  const cells = (row, label) => row.map((n, said) => make("td", String(n), {
    style: `--share:${figures.perClass[label].support ? n / figures.perClass[label].support : 0}`,
    class: said === label ? "diagonal" : n ? "" : "zero", title: `${classes[label]} heard as ${classes[said]}: ${n}`,
  }));
  const head = make("tr", [make("th", "true \\ said", { scope: "col" }), ...classes.map((name) => make("th", name, { scope: "col" }))]);
  const rows = figures.confusion.map((row, label) => make("tr", [make("th", classes[label], { scope: "row" }), ...cells(row, label)]));
  return make("table", [make("thead", head), make("tbody", rows)], { class: "confusion" });
}

function makePerClass(figures, classes) {
  const number = (value) => make("td", typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value), { class: "number" });
  const names = ["precision", "recall", "f1", "support"];
  const head = make("tr", [make("th", "class", { scope: "col" }), ...names.map((name) => make("th", name, { scope: "col", class: "number" }))]);
  const rows = figures.perClass.map((one, label) => make("tr", [make("th", classes[label], { scope: "row" }), ...names.map((name) => (name === "support" ? number(one[name]) : make("td", one[name].toFixed(3), { class: "number" })))]));
  return make("table", [make("thead", head), make("tbody", rows)]);
}

function listCautions(pick, rule, tie) {
  const lines = [];
  if (pick.length > 1) lines.push("An ensemble that is picked on these utterances looks better than it is.");
  const sums = rule.startsWith("soft") || tie === "confidence";
  const scored = sums ? pick.filter((member) => BALLOTS.shares[member].are_scores) : [];
  if (scored.length) lines.push(`The scores of ${scored.map((member) => NAMES[member]).join(", ")} are no probabilities, and count here as if they were.`);
  lines.push(READ.question.intervals === "Wilson" ? "The interval is Wilson's." : "The command finds its interval by speaker.");
  return lines.join(" ");
}

function explain(votes) {
  if (votes.problem !== "labels only") return votes.problem;
  const names = votes.mute.map((member) => NAMES[member]);
  const shown = names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
  return `This needs probabilities, of which the page has none for ${shown}: pick others, or votes without them.`;
}

function showVotes() {
  const rule = BALLOT.elements.rule.value, isHard = rule === "hard" || rule === "weighted";
  for (const one of BALLOT.elements.tie) one.disabled = !isHard;
  const tie = isHard ? BALLOT.elements.tie.value : "lowest";
  const pick = readPick(), names = pick.map((member) => NAMES[member]), classes = READ.question.classes;
  const votes = vote(BALLOTS, pick, rule, tie), verdict = document.getElementById("verdict"), outcome = document.getElementById("outcome");
  if (votes.problem) {
    verdict.replaceChildren(make("p", explain(votes)));
    outcome.replaceChildren();
    return;
  }
  const figures = evaluateVotes(BALLOTS, votes), isWilson = READ.question.intervals === "Wilson";
  verdict.replaceChildren(make("p", [
    make("strong", percent(figures.accuracy)), ...[
      `${figures.correct}/${figures.n} right`, ...(isWilson ? [`95% interval ${interval(figures.bounds)}`] : []),
      `balanced accuracy ${percent(figures.balanced)}`, `macro F1 ${figures.macroF1.toFixed(3)}`,
      `${figures.ties} ${tie === "abstain" ? "abstained" : "ties"}`, `${pick.length} of ${NAMES.length} members`,
    ].map((text) => make("span", text)),
  ]));
  const region = (label, table) => make("div", table, { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
  outcome.replaceChildren(
    region("Confusion matrix of the vote", makeConfusion(figures, classes)), region("Figures by class of the vote", makePerClass(figures, classes)),
    make("p", listCautions(pick, rule, tie), { class: "aside" }), make("pre", writeCommand(names, rule, tie), { class: "line", tabindex: "0", "aria-label": "The command for this vote" }),
  );
}

function takePick(kind) {
  const best = new Set(READ.choice ? READ.choice.members : NAMES.slice(0, 1));
  BOXES.forEach((box, member) => { box.checked = kind === "all" || (kind === "best" && best.has(NAMES[member])); });
  showVotes();
}

for (const button of document.querySelectorAll("[data-pick]")) button.addEventListener("click", () => takePick(button.dataset.pick));
for (const box of BOXES) box.addEventListener("change", showVotes);
BALLOT.addEventListener("change", showVotes);
BALLOT.addEventListener("submit", (event) => event.preventDefault());
takePick("best");
