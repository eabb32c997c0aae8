import { isFailure } from '../../core/failure.js'
import { compileScopeRegex, type ScopeRegex } from '../scope/regex.js'
import type { ExactRule, ExpressionRule, ScopeMap } from '../scope/scope-map.js'
import { linkFormatOf, type LinkFormat } from '../signed-link.js'
import type { LineProblem, Parsed } from './live-file.js'
import { isProblem, parseNginx, type NginxDirective } from './nginx-config.js'

/** What the files of PutFS say of its keys. */
export interface KeysConf {
  /** The secrets of each key: several while one is replaced by another. */
  readonly secrets: ReadonlyMap<string, readonly string[]>
  /** What one key may do. */
  scopesOf(key: string): ScopeMap
  /** The secret that the links of a key are signed with. */
  readonly linkSecrets: ReadonlyMap<string, string>
  /** How links are signed, where the file says so. */
  readonly linkFormat: LinkFormat | undefined
}

interface Entry {
  readonly line: number
  readonly text: string
  readonly value: string
}

interface MapBlock {
  readonly line: number
  readonly source: string
  readonly target: string
  readonly entries: readonly Entry[]
}

interface Expression extends ExpressionRule {
  readonly regex: ScopeRegex
}

const keySource = '$http_x_api_key:$http_x_api_secret'
const scopeSources = ['$http_x_api_key:$request_method:$uri', '$http_x_api_key:$request_method:$request_uri']
const linkSource = '$arg_key'

/**
 * Reads the maps of PutFS out of an nginx configuration: which key has which secret, what each may do by method and path,
 * and what links are signed with. Other directives say nothing. A line that is not understood lets nobody in: where it would
 * have refused, all that stands behind it is refused.
 */
export function parseKeysConf(text: string): Parsed<KeysConf> {
  const problems: LineProblem[] = []
  const report = (line: number, why: string): void => {
    problems.push({ line, why })
  }
  const parsed = parseNginx(text)
  if (isProblem(parsed)) return { unfinished: `line ${parsed.line}: ${parsed.why}`, problems }
  const maps = mapsOf(parsed, report)
  const only = (sources: readonly string[], target: string): MapBlock | undefined => {
    const [first, ...others] = maps
      .filter(({ source }) => sources.includes(source))
      .sort((one, other) => Number(other.target === target) - Number(one.target === target))
    for (const { line } of others) report(line, 'it is a second map of the same; only one counts')
    return first
  }
  const secrets = secretsOf(only([keySource], '$key_ok'), report)
  const scopeMap = only(scopeSources, '$auth_ok')
  const linkSecrets = linkSecretsOf(only([linkSource], '$key_secret'), report)
  for (const map of maps)
    if (map.target === '$deny') checkGate(map, report)
    else if (![keySource, linkSource, ...scopeSources].includes(map.source))
      report(map.line, 'it is a map that is not known here')
  return {
    facts: { secrets, scopesOf: scopesIn(scopeMap, report), linkSecrets, linkFormat: formatIn(parsed, report) },
    problems,
  }
}

type Report = (line: number, why: string) => void

function mapsOf(directives: readonly NginxDirective[], report: Report): readonly MapBlock[] {
  return directives.flatMap(({ line, words: [name, source = '', target = ''], block = [] }) => {
    if (name !== 'map') return mapsOf(block, report)
    const entries: Entry[] = []
    for (const entry of block) {
      const [text = '', value, ...others] = entry.words
      if (text === 'volatile' && value === undefined) continue
      if (value === undefined || others.length > 0 || text === 'include' || entry.block)
        report(entry.line, 'it is no text with a value')
      else entries.push({ line: entry.line, text, value })
    }
    return [{ line, source, target, entries }]
  })
}

function secretsOf(map: MapBlock | undefined, report: Report): ReadonlyMap<string, readonly string[]> {
  const secrets = new Map<string, readonly string[]>()
  for (const { line, text, value } of map?.entries ?? []) {
    if (text === 'default') {
      if (value === '1') report(line, 'it would let everybody in; it counts as 0')
      continue
    }
    const [, key = '', secret = ''] = /^([^:~][^:]*):(.+)$/s.exec(text.replace(/^\\/, '')) ?? []
    if (key === '') report(line, 'it is not KEY:SECRET')
    else if (value === '1') secrets.set(key, [...(secrets.get(key) ?? []), secret])
  }
  return secrets
}

function linkSecretsOf(map: MapBlock | undefined, report: Report): ReadonlyMap<string, string> {
  const secrets = new Map<string, string>()
  for (const { line, text, value } of map?.entries ?? []) {
    if (text === 'default') {
      if (value !== '') report(line, 'links of keys that are not named would be valid; it counts as empty')
    } else if (text.startsWith('~') || text === '') report(line, 'it is no key')
    // An empty secret would let everybody sign.
    else if (value === '') report(line, 'its secret is empty')
    else secrets.set(text.replace(/^\\/, ''), value)
  }
  return secrets
}

function scopesIn(map: MapBlock | undefined, report: Report): (key: string) => ScopeMap {
  const exact: ExactRule[] = []
  const expressions: Expression[] = []
  let otherwise = false
  const encoded = map?.source.endsWith('$request_uri') === true
  for (const { line, text, value } of map?.entries ?? []) {
    const allows = value === '1'
    if (text === 'default') otherwise = allows
    else if (!text.startsWith('~'))
      exact.push({ text: decoded(text.replace(/^\\/, ''), encoded, (plain) => plain).normalize('NFC'), allows })
    else {
      const ignoreCase = text.startsWith('~*')
      const pattern = decoded(text.slice(ignoreCase ? 2 : 1), encoded, escaped)
      try {
        expressions.push({ pattern, ignoreCase, allows, regex: compileScopeRegex(pattern, ignoreCase) })
      } catch (error) {
        if (!isFailure(error, 'invalid')) throw error
        report(line, allows ? error.message : `${error.message} All that stands behind it is refused.`)
        if (!allows) expressions.push({ pattern: '', ignoreCase, allows, regex: compileScopeRegex('', false) })
      }
    }
  }
  return (key) => ({
    key,
    exact: exact.filter(({ text }) => text.toLowerCase().startsWith(`${key}:`.toLowerCase())),
    expressions: expressions
      .filter(({ regex }) => regex.fate(`${key}:`) !== 'none')
      .map(({ pattern, ignoreCase, allows }) => ({ pattern, ignoreCase, allows })),
    otherwise,
  })
}

/** A map on the address as it was sent has percent signs where the canonical path has letters. */
function decoded(text: string, encoded: boolean, shown: (plain: string) => string): string {
  if (!encoded) return text
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      const plain = decodeURIComponent(escapes)
      return /[/\0]/.test(plain) ? escapes : shown(plain)
    } catch {
      return escapes
    }
  })
}

function escaped(plain: string): string {
  return plain.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** The gate of the newer form says what is so here anyway; what else it lets through must be granted by other means. */
function checkGate({ entries }: MapBlock, report: Report): void {
  const usual = ['~^/_/dl/', '~^/dl/', '~:1:1$']
  for (const { line, text, value } of entries)
    if (value !== '1' && !usual.includes(text))
      report(line, 'it lets requests pass without a key, which `anonymous` in the configuration would do')
}

function formatIn(directives: readonly NginxDirective[], report: Report): LinkFormat | undefined {
  for (const { line, words, block = [] } of directives) {
    if (words[0] === 'secure_link_md5') {
      const format = linkFormatOf(words[1] ?? '')
      if (format === undefined) report(line, 'links are signed in a way that is not known here')
      return format
    }
    const within = formatIn(block, report)
    if (within !== undefined) return within
  }
  return undefined
}
