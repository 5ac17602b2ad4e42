// What members give each class, in whole numbers: the very ones that the command adds up.
"use strict";

const PROBABILITY_STEPS = 1e12, LOGIT_STEPS = 2 ** 40, DECIMALS = 1e6;
const LOG2_E = 1.4426950408889634, LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10;
const LEAST = -700, TERMS = 13;
const HALVES = [1];
for (let i = 1; i <= 1012; i++) HALVES.push(HALVES[i - 1] / 2);

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, f32: Float32Array };

function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  return new ARRAYS[packed.type](bytes.buffer);
}

// To the nearest whole number, halves to the even one.
function roundEven(x) {
  const below = Math.floor(x), rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

function exponentiate(x) {
  const bounded = Math.max(x, LEAST);
  const halvings = roundEven(bounded * LOG2_E);
  const rest = bounded - halvings * LN2_HIGH - halvings * LN2_LOW;
  let series = 1;
  for (let term = TERMS; term > 0; term--) series = 1 + (series * rest) / term;
  return series * HALVES[-halvings];
}

// Probabilities in steps of 1e-12: take_soft_steps() of packing.py, line by line.
function takeSoftSteps(shares, c) {
  const logits = unpack(shares.logits), steps = new Float64Array(logits.length);
  for (let row = 0; row < logits.length; row += c) {
    const scores = logits.subarray(row, row + c), highest = Math.max(...scores);
    const powers = Array.from(scores, (score) => exponentiate(score - highest));
    const total = powers.reduce((sum, power) => sum + power, 0);
    powers.forEach((power, label) => {
      let share = power / total;
      if (shares.soft.rounded) share = roundEven(share * DECIMALS) / DECIMALS;
      steps[row + label] = roundEven(share * PROBABILITY_STEPS);
    });
  }
  for (const [place, amiss] of shares.soft.amiss) steps[place] += amiss;
  return steps;
}

// Logits less the highest of their utterance, in steps of 2**-40.
function takeLogSteps(shares, c) {
  const logits = unpack(shares.logits), steps = new Float64Array(logits.length);
  for (let row = 0; row < logits.length; row += c) {
    const scores = logits.subarray(row, row + c), highest = Math.max(...scores);
    scores.forEach((score, label) => { steps[row + label] = roundEven((score - highest) * LOGIT_STEPS); });
  }
  for (const [row, floor] of shares.floors)
    for (let label = 0; label < c; label++) steps[row * c + label] = Math.max(steps[row * c + label], floor);
  return steps;
}
