// Whether two sets of times come from the same source.

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * The test of Mann and Whitney, two-sided, by its normal approximation (good from 20 values on); ties are times of equal
 * length, which a clock of nanoseconds hardly has. `shift` is how much longer the first take, as a part of the second.
 * @param {readonly number[]} ones @param {readonly number[]} others
 * @returns {{ p: number, shift: number }}
 */
export function differ(ones, others) {
  const all = [...ones.map((value) => ({ value, own: true })), ...others.map((value) => ({ value, own: false }))]
  all.sort((one, other) => one.value - other.value)
  let rankSum = 0
  for (let start = 0; start < all.length;) {
    let end = start
    while (end < all.length && all[end].value === all[start].value) end++
    const rank = (start + 1 + end) / 2
    for (let index = start; index < end; index++) if (all[index].own) rankSum += rank
    start = end
  }
  const [n, m] = [ones.length, others.length]
  const expected = (n * (n + m + 1)) / 2
  const deviation = Math.sqrt((n * m * (n + m + 1)) / 12)
  const z = Math.abs(rankSum - expected) / deviation
  return { p: Math.min(1, 2 * tail(z)), shift: median(ones) / median(others) - 1 }
}

/** How likely a standard normal value is above z (Abramowitz and Stegun, 26.2.17). @param {number} z */
function tail(z) {
  const t = 1 / (1 + 0.2316419 * z)
  const polynomial = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * polynomial
}
