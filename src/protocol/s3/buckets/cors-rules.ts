import { Failure } from '../../../core/failure.js'
import { childElements } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import { childText, childTexts, malformed } from '../request-xml.js'
import { element, root, text } from '../xml.js'

/** Which web pages may use a bucket from a browser, and how ("CORSRule" of the S3 API Reference). */
export interface CorsRule {
  readonly id?: string | undefined
  /** With at most one `*` each, which stands for any text. */
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  /** What a page may send, with at most one `*` each. */
  readonly headers: readonly string[]
  /** What a page may read. */
  readonly exposed: readonly string[]
  readonly maxAgeSeconds?: number | undefined
}

/** The attribute of a bucket's folder that holds its rules. */
export const corsAttribute = 's3-cors'

const methods: ReadonlySet<string> = new Set(['GET', 'PUT', 'HEAD', 'POST', 'DELETE'])
const mostRules = 100
/** Of each kind of text within a rule. */
const mostTexts = 100
/** Of the rules as they are kept, which share the attributes of a folder with others. */
const mostBytes = 24 * 1024
/** Names that a preflight may ask for at once. */
const mostAskedHeaders = 100

const fieldName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

/** Reads a `CORSConfiguration`. Throws `invalid` (`MalformedXML`, `InvalidRequest`), naming what is wrong. */
export function readCorsRules(configuration: XmlElement): readonly CorsRule[] {
  const found = childElements(configuration)
  if (found.length === 0 || found.length > mostRules || found.some(({ name }) => name !== 'CORSRule'))
    throw malformed(`A CORSConfiguration has from 1 to ${mostRules} CORSRule elements.`)
  const rules = found.map(readRule)
  if (Buffer.byteLength(writeCorsRules(rules)) > mostBytes)
    throw new Failure('invalid', `The rules may hold ${mostBytes} bytes. Make them shorter.`, {
      reason: 'InvalidRequest',
    })
  return rules
}

function readRule(rule: XmlElement): CorsRule {
  const texts = (name: string): readonly string[] => {
    const values = childTexts(rule, name)
    if (values.length <= mostTexts) return values
    throw malformed(`A CORSRule has at most ${mostTexts} ${name} elements.`)
  }
  const read = {
    id: childText(rule, 'ID'),
    origins: texts('AllowedOrigin'),
    methods: texts('AllowedMethod'),
    headers: texts('AllowedHeader'),
    exposed: texts('ExposeHeader'),
    maxAgeSeconds: readSeconds(childText(rule, 'MaxAgeSeconds')),
  }
  if (read.origins.length === 0 || read.methods.length === 0)
    throw malformed('A CORSRule needs an AllowedOrigin and an AllowedMethod.')
  for (const method of read.methods)
    if (!methods.has(method)) throw wrong(`AllowedMethod is one of ${[...methods].join(', ')}.`)
  for (const origin of read.origins)
    if (origin === '' || !hasOneStar(origin)) throw wrong('An AllowedOrigin has at most one *.')
  for (const name of read.headers)
    if (!fieldName.test(name) || !hasOneStar(name))
      throw wrong('An AllowedHeader is the name of a header, with at most one *.')
  for (const name of read.exposed)
    if (!fieldName.test(name) || name.includes('*'))
      throw wrong('An ExposeHeader is the name of a header, without any *.')
  return read
}

function readSeconds(given: string | undefined): number | undefined {
  if (given === undefined || given === '') return undefined
  if (/^\d{1,9}$/.test(given)) return Number(given)
  throw malformed('MaxAgeSeconds is a number of seconds.')
}

function hasOneStar(pattern: string): boolean {
  return pattern.indexOf('*') === pattern.lastIndexOf('*')
}

function wrong(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidRequest' })
}

/** The rules as the attribute holds them. */
export function writeCorsRules(rules: readonly CorsRule[]): string {
  return JSON.stringify(rules)
}

/** What `writeCorsRules` has written; none for a folder without the attribute, or where it holds anything else. */
export function keptCorsRules(attributes: Readonly<Record<string, string>> | undefined): readonly CorsRule[] {
  const kept = attributes?.[corsAttribute]
  if (kept === undefined) return []
  try {
    return JSON.parse(kept) as readonly CorsRule[]
  } catch {
    return []
  }
}

/** The rules as S3 shows them. */
export function corsRulesXml(rules: readonly CorsRule[]): string {
  return root(
    'CORSConfiguration',
    ...rules.map(({ id, origins, methods: allowed, headers, exposed, maxAgeSeconds }) =>
      element(
        'CORSRule',
        text('ID', id),
        ...headers.map((each) => text('AllowedHeader', each)),
        ...allowed.map((each) => text('AllowedMethod', each)),
        ...origins.map((each) => text('AllowedOrigin', each)),
        ...exposed.map((each) => text('ExposeHeader', each)),
        text('MaxAgeSeconds', maxAgeSeconds),
      ),
    ),
  )
}

/** The first rule under which a page of an origin may send this, as S3 looks for it; header names in lower case. */
export function corsRuleFor(
  rules: readonly CorsRule[],
  {
    origin,
    method,
    headers,
  }: { readonly origin: string; readonly method: string; readonly headers: readonly string[] },
): CorsRule | undefined {
  if (headers.length > mostAskedHeaders) return undefined
  const from = origin.toLowerCase()
  return rules.find(
    (rule) =>
      rule.methods.includes(method) &&
      rule.origins.some((pattern) => fits(pattern, from)) &&
      headers.every((name) => rule.headers.some((pattern) => fits(pattern, name))),
  )
}

function fits(pattern: string, given: string): boolean {
  const wanted = pattern.toLowerCase()
  const star = wanted.indexOf('*')
  if (star === -1) return wanted === given
  return (
    given.length >= wanted.length - 1 &&
    given.startsWith(wanted.slice(0, star)) &&
    given.endsWith(wanted.slice(star + 1))
  )
}
