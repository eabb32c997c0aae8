interface Weighted {
  readonly value: string
  readonly weight: number
}

const mostItems = 100

/**
 * The offer that an `Accept` field (RFC 9110 §12.5.1) likes best: by weight, then by how exactly it was named, then by
 * the order of the offers. The first offer where there is no field; undefined where none is acceptable. Never throws.
 */
export function preferredType<Offer extends string>(
  field: string | undefined,
  offers: readonly Offer[],
): Offer | undefined {
  if (field === undefined || field.trim() === '') return offers[0]
  const ranges = weighted(field)
  let best: Offer | undefined
  let bestScore = 0
  for (const offer of offers) {
    const score = scoreOf(offer, ranges)
    if (score > bestScore) {
      best = offer
      bestScore = score
    }
  }
  return best
}

/** The content coding to use of those we have, by an `Accept-Encoding` field (RFC 9110 §12.5.3); undefined for none. Never throws. */
export function preferredCoding(field: string | undefined): 'br' | 'gzip' | undefined {
  if (field === undefined) return undefined
  const codings = weighted(field)
  const weightOf = (...names: readonly string[]): number =>
    (codings.find(({ value }) => names.includes(value)) ?? codings.find(({ value }) => value === '*'))?.weight ?? 0
  const brotli = weightOf('br')
  const gzip = weightOf('gzip', 'x-gzip')
  if (brotli === 0 && gzip === 0) return undefined
  return brotli >= gzip ? 'br' : 'gzip'
}

/** Weight first, exactness second: 1 for the full range, 2 for a type, 3 for the very type. 0 is not acceptable. */
function scoreOf(offer: string, ranges: readonly Weighted[]): number {
  const family = offer.slice(0, offer.indexOf('/')) + '/*'
  let exactness = 0
  let weight = 0
  for (const range of ranges) {
    const match = range.value === offer ? 3 : range.value === family ? 2 : range.value === '*/*' ? 1 : 0
    if (match > exactness) {
      exactness = match
      weight = range.weight
    }
  }
  return weight === 0 ? 0 : weight * 1000 + exactness / 10
}

function weighted(field: string): readonly Weighted[] {
  const items: Weighted[] = []
  for (const item of field.split(',', mostItems)) {
    const [name = '', ...parameters] = item.split(';')
    const value = name.trim().toLowerCase()
    if (value === '') continue
    const weight = parameters.map((parameter) => /^\s*q\s*=\s*(\d(?:\.\d*)?)\s*$/i.exec(parameter)?.[1]).find(Boolean)
    items.push({ value, weight: weight === undefined ? 1 : Math.min(1, Number(weight)) })
  }
  return items
}
