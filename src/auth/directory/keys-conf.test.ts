import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { compileGrants } from '../grant.js'
import type { Permit } from '../permit.js'
import { scopeGrant } from '../scope/scope-map.js'
import { parseKeysConf, type KeysConf } from './keys-conf.js'

/** As the older documentation of PutFS has it. */
const older = `
# keys.conf
map "$http_x_api_key:$http_x_api_secret" $key_ok {
    default                  0;
    "PUTFS_abc123:secret1"   1;
    "PUTFS_xyz789:secret2"   1;
}

map "$http_x_api_key:$request_method:$request_uri" $auth_ok {
    default                                       0;
    "~^PUTFS_abc123:[^:]+:/acme/"                 1;   # acme, all methods
    "~^PUTFS_xyz789:(GET|HEAD):/acme/invoices/"   1;   # read-only, invoices
    "~^PUTFS_up:(PUT|DELETE):/acme/uploads/"      1;
    "~^PUTFS_admin:[^:]+:/.+"                     1;
    "~^PUTFS_enc:[^:]+:/my%20data/a%2Bb/"         1;
}`

/** As the newer one has it, with links. */
const newer = `
map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; "PUTFS_abc123:secret1" 1; }
map "$http_x_api_key:$request_method:$uri" $auth_ok {
  default 0;
  "~^PUTFS_abc123:[^:]+:/acme/" 1;
}
map "$uri:$key_ok:$auth_ok" $deny { default 1; "~^/_/dl/" 0; "~:1:1$" 0; }
map $arg_key $key_secret { default ""; "PUTFS_abc123" "secret1"; }
server {
  listen 80;
  location /_/dl/ {
    secure_link $arg_token,$arg_expires;
    secure_link_md5 "$secure_link_expires$request_method$uri$remote_addr $key_secret";
    if ($secure_link = "") { return 403; }
    if ($secure_link = "0") { return 410; }
    alias /srv/putfs/;
  }
}`

function read(text: string): KeysConf {
  const { facts } = parseKeysConf(text)
  if (facts === undefined) throw new Error('not understood')
  return facts
}

const permitOf = (text: string, key: string): Permit => compileGrants([scopeGrant(read(text).scopesOf(key))], 'test')
const scopes = (...lines: readonly string[]): string =>
  `map "$http_x_api_key:$request_method:$uri" $auth_ok {\n${lines.join('\n')}\n}`

describe('what a key may not do', () => {
  it.each([
    ['PUTFS_abc123', 'read', '/acme-other/x'],
    ['PUTFS_abc123', 'read', '/acmf'],
    ['PUTFS_abc123', 'read', '/ACME/x'],
    ['PUTFS_abc123', 'read', '/x/acme/y'],
    ['PUTFS_abc123', 'list', '/'],
    ['PUTFS_abc123', 'create', '/acme'],
    ['PUTFS_abc123', 'replace', '/acme'],
    ['PUTFS_abc123', 'delete', '/acme'],
    ['PUTFS_abc123', 'read', '/acme%2Fx'],
    ['PUTFS_abc123', 'read', '/PUTFS_abc123:GET:/acme/x'],
    ['PUTFS_xyz789', 'create', '/acme/invoices/x'],
    ['PUTFS_xyz789', 'replace', '/acme/invoices/x'],
    ['PUTFS_xyz789', 'delete', '/acme/invoices/x'],
    ['PUTFS_xyz789', 'read', '/acme/invoices'],
    ['PUTFS_xyz789', 'read', '/acme/other/invoices/x'],
    ['PUTFS_xyz789', 'list', '/acme'],
    ['PUTFS_up', 'read', '/acme/uploads/x'],
    ['PUTFS_up', 'list', '/acme/uploads'],
    ['PUTFS_up', 'create', '/acme/upload'],
    ['PUTFS_admin', 'list', '/'],
    ['PUTFS_admin', 'delete', '/'],
    ['PUTFS_abc12', 'read', '/acme/x'],
    ['PUTFS_abc1234', 'read', '/acme/x'],
    ['putfs_abc123', 'read', '/acme/x'],
    ['', 'read', '/acme/x'],
    ['PUTFS_enc', 'read', '/my%20data/a+b/x'],
    ['PUTFS_enc', 'read', '/my data/aab/x'],
  ] as const)('%s: %s %s', (key, action, path) => {
    expect(permitOf(older, key).allows(action, toPath(path))).toBe(false)
  })
})

describe('what a key may do', () => {
  it.each([
    ['PUTFS_abc123', 'read', '/acme/x'],
    ['PUTFS_abc123', 'read', '/acme//x/'],
    ['PUTFS_abc123', 'list', '/acme'],
    ['PUTFS_abc123', 'list', '/acme/x/y'],
    ['PUTFS_abc123', 'create', '/acme/x'],
    ['PUTFS_abc123', 'replace', '/acme/x'],
    ['PUTFS_abc123', 'delete', '/acme/x'],
    ['PUTFS_abc123', 'read', '/acme/\u{1f600}:PUT:/other'],
    ['PUTFS_xyz789', 'read', '/acme/invoices/2026/x.pdf'],
    ['PUTFS_xyz789', 'list', '/acme/invoices'],
    ['PUTFS_up', 'create', '/acme/uploads/x'],
    ['PUTFS_up', 'delete', '/acme/uploads/x'],
    ['PUTFS_admin', 'delete', '/any/thing'],
    ['PUTFS_enc', 'read', '/my data/a+b/x'],
  ] as const)('%s: %s %s', (key, action, path) => {
    expect(permitOf(older, key).allows(action, toPath(path))).toBe(true)
  })

  it('a collection is made at the top of a scope, a file is not', () => {
    const permit = permitOf(older, 'PUTFS_abc123')
    expect(permit.allows('create', toPath('/acme'), true)).toBe(true)
    expect(permit.allows('create', toPath('/acme'))).toBe(false)
    expect(permit.allows('create', toPath('/acmf'), true)).toBe(false)
    expect(permitOf(older, 'PUTFS_xyz789').allows('create', toPath('/acme/invoices'), true)).toBe(false)
  })
})

describe('what shows on the way', () => {
  it.each([
    ['PUTFS_abc123', '/', false, true],
    ['PUTFS_abc123', '/acme', true, true],
    ['PUTFS_abc123', '/acme/x', true, true],
    ['PUTFS_abc123', '/acm', false, false],
    ['PUTFS_abc123', '/other', false, false],
    ['PUTFS_xyz789', '/acme', false, true],
    ['PUTFS_xyz789', '/acme/other', false, false],
    ['PUTFS_xyz789', '/acme/invoices', true, true],
    ['PUTFS_up', '/', false, true],
    ['PUTFS_up', '/acme', false, true],
    ['PUTFS_up', '/acme/uploads', false, true],
    ['PUTFS_up', '/acme/uploads/inner', false, false],
    ['PUTFS_up', '/acme/other', false, false],
    ['PUTFS_admin', '/', false, true],
    ['PUTFS_admin', '/x', true, true],
    ['nobody', '/', false, false],
  ] as const)('%s at %s: all below %s, some %s', (key, path, all, some) => {
    expect(permitOf(older, key).allowsAllBelow('list', toPath(path))).toBe(all)
    expect(permitOf(older, key).mayAllowBelow(toPath(path))).toBe(some)
  })
})

describe('which rule of a map decides', () => {
  const decide = (lines: readonly string[], path: string): boolean =>
    permitOf(scopes(...lines), 'K').allows('read', toPath(path))

  it.each([
    ['the first expression', ['"~^K:GET:/a/b/" 0;', '"~^K:GET:/a/" 1;'], '/a/b/c', false],
    ['and not a later one', ['"~^K:GET:/a/" 1;', '"~^K:GET:/a/b/" 0;'], '/a/b/c', true],
    ['a whole text before all expressions', ['"~^K:GET:/a/" 1;', '"K:GET:/a/x" 0;'], '/a/x', false],
    ['also where it allows', ['"~^K:GET:/" 0;', '"K:GET:/a/x" 1;'], '/a/x', true],
    ['a whole text that refuses, whatever its case', ['"~^K:GET:/a/" 1;', '"k:get:/A/X" 0;'], '/a/x', false],
    ['a whole text that allows, exactly', ['"K:GET:/A/x" 1;'], '/a/x', false],
    ['a whole text and nothing below', ['"K:GET:/a" 1;'], '/a/x', false],
    ['the default where nothing matches', ['default 1;', '"~^K:GET:/a/" 0;'], '/b', true],
    ['not the default where something does', ['default 1;', '"~^K:GET:/a/" 0;'], '/a/x', false],
    ['nothing without a default', ['"~^K:GET:/a/" 1;'], '/b', false],
    ['without regard to case, with ~*', ['"~*^k:get:/ACME/" 1;'], '/acme/x', true],
    ['only 1 as yes', ['"~^K:GET:/a/" yes;'], '/a/x', false],
    ['an expression for all keys', ['"~:GET:/public/" 1;'], '/public/x', true],
    ['an expression that is not anchored at a method', ['"~/public/" 1;'], '/private/public/x', true],
    ['escapes', ['"~^K:GET:/a\\.b/" 1;'], '/a.b/x', true],
    ['escapes of dots', ['"~^K:GET:/a\\.b/" 1;'], '/axb/x', false],
    ['words without quotes', ['~^K:GET:/a/ 1;'], '/a/x', true],
    ['an end', ['"~^K:GET:/a/[^/]+\\.pdf$" 1;'], '/a/b.pdf', true],
    ['nothing behind an end', ['"~^K:GET:/a/[^/]+\\.pdf$" 1;'], '/a/b.pdf/c', false],
    ['no expression that is not understood', ['"~^K:GET:/a/(?!b)" 1;'], '/a/c', false],
    ['a refusal that is not understood', ['"~^K:GET:/a/(?=b)" 0;', '"~^K:GET:/" 1;'], '/c', false],
    ['only what stands behind that', ['"~^K:GET:/c" 1;', '"~^K:GET:/a/(?=b)" 0;', '"~^K:GET:/" 1;'], '/c', true],
  ])('%s', (_what, lines, path, allowed) => {
    expect(decide(lines, path)).toBe(allowed)
  })

  it('hides what is refused below what is allowed', () => {
    const permit = permitOf(scopes('"~^K:[A-Z]+:/a/secret/" 0;', '"~^K:[A-Z]+:/a/" 1;'), 'K')
    expect(permit.mayAllowBelow(toPath('/a/secret'))).toBe(true)
    expect(permit.mayAllowBelow(toPath('/a/secret/x'))).toBe(false)
    expect(permit.allows('list', toPath('/a/secret'))).toBe(false)
    expect(permit.allowsAllBelow('list', toPath('/a'))).toBe(false)
    expect(permit.allowsAllBelow('delete', toPath('/a/secret'))).toBe(false)
    expect(permit.allowsAllBelow('list', toPath('/a/b'))).toBe(true)
    const exact = permitOf(scopes('"K:DELETE:/a/keep" 0;', '"~^K:[A-Z]+:/a/" 1;'), 'K')
    expect(exact.allowsAllBelow('delete', toPath('/a/b'))).toBe(true)
    expect(exact.allowsAllBelow('delete', toPath('/a/keep'))).toBe(false)
  })

  it('says which one it was', () => {
    expect(permitOf(older, 'PUTFS_abc123').explain('read', toPath('/acme/x'))).toEqual({
      grant: '~^PUTFS_abc123:[^:]+:/acme/',
      source: 'test',
    })
    expect(permitOf(older, 'PUTFS_abc123').explain('read', toPath('/x'))).toBeUndefined()
  })

  it('never allows all below where something is refused, nor hides what is allowed', () => {
    const line = fc.tuple(
      fc.constantFrom(
        '"~^K:[^:]+:/a/"',
        '"~^K:GET:/"',
        '"~^K:GET:/a/b/"',
        '"~b$"',
        '"K:GET:/a/b"',
        '"~^K:(PUT|GET):/[ab]/"',
        '"~c"',
      ),
      fc.constantFrom('0', '1'),
    )
    const names = fc
      .array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 })
      .map((parts) => toPath(`/${parts.join('/')}`))
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 4 }),
        fc.constantFrom('0', '1'),
        names,
        names,
        (lines, otherwise, top, rest) => {
          const permit = permitOf(
            scopes(`default ${otherwise};`, ...lines.map(([text, value]) => `${text} ${value};`)),
            'K',
          )
          const path = toPath(`${top}/${rest}`)
          for (const action of ['read', 'list', 'create', 'delete'] as const) {
            const allowed = permit.allows(action, path)
            if (permit.allowsAllBelow(action, top)) expect(allowed).toBe(true)
            if (allowed && (action === 'read' || action === 'list')) expect(permit.mayAllowBelow(top)).toBe(true)
            expect(permit.explain(action, path) !== undefined).toBe(allowed)
          }
        },
      ),
    )
  })
})

describe('keys and their secrets', () => {
  const secrets = (...lines: readonly string[]): Record<string, readonly string[]> =>
    Object.fromEntries(read(`map "$http_x_api_key:$http_x_api_secret" $key_ok { ${lines.join(' ')} }`).secrets)

  it.each([
    ['are split at the first colon', ['"a:b:c" 1;'], { a: ['b:c'] }],
    ['may be several, for rotation', ['"a:b" 1;', '"a:c" 1;'], { a: ['b', 'c'] }],
    ['count with 1 only', ['"a:b" 0;', '"c:d" yes;', '"e:f" "";'], {}],
    ['are never empty', ['"a:" 1;', '":b" 1;', '":" 1;', '"a" 1;'], {}],
    ['are never expressions, nor everything', ['"~^a:.*" 1;', '"~*b:c" 1;', 'default 1;'], {}],
    ['keep their case', ['"A:b" 1;', '"a:B" 1;'], { A: ['b'], a: ['B'] }],
    ['may hold what is quoted', ['"a:b\\"c;{}#" 1;', "'d:e f' 1;"], { a: ['b"c;{}#'], d: ['e f'] }],
  ])('%s', (_what, lines, expected) => {
    expect(secrets(...lines)).toEqual(expected)
  })

  it('are none in a file without them', () => {
    for (const text of ['', '# nothing', 'server { listen 80; }']) expect(read(text).secrets.size).toBe(0)
  })

  it('of links must be named and not empty', () => {
    const { linkSecrets, linkFormat } = read(newer)
    expect(Object.fromEntries(linkSecrets)).toEqual({ PUTFS_abc123: 'secret1' })
    expect(linkFormat).toHaveLength(6)
    const odd = read('map $arg_key $key_secret { default "x"; "a" ""; "~b" "c"; "" "d"; }')
    expect(odd.linkSecrets.size).toBe(0)
  })
})

describe('what an owner is told', () => {
  const told = (text: string): readonly (readonly [number, string])[] =>
    parseKeysConf(text).problems.map(({ line, why }) => [line, why])

  it('nothing of the files that PutFS documents', () => {
    expect(told(older)).toEqual([])
    expect(told(newer)).toEqual([])
  })

  it('the line, and never a secret', () => {
    const text = [
      'map "$http_x_api_key:$http_x_api_secret" $key_ok {',
      '  default 1;',
      '  "~^topsecret" 1;',
      '  "topsecret" 1;',
      '  include topsecret;',
      '}',
      'map "$http_x_api_key:$request_method:$uri" $auth_ok {',
      '  "~^K:GET:/(?!x)" 1;',
      '}',
      'map "$uri:$key_ok:$auth_ok" $deny { default 1; "~^/public/" 0; }',
      'map $host $other { a b; }',
      'map $arg_key $key_secret { default "topsecret"; }',
      'secure_link_md5 "$uri topsecret";',
    ].join('\n')
    expect(
      told(text)
        .map(([line]) => line)
        .sort((one, other) => one - other),
    ).toEqual([2, 3, 4, 5, 8, 10, 11, 12, 13])
    expect(JSON.stringify(told(text))).not.toContain('topsecret')
  })

  it.each(['map a b {', 'map a b { "x" 1', '"never closed', "map a b { 'x 1; }", '}', 'map a b'])(
    'that %j stops in the middle, which changes nothing',
    (text) => {
      expect(parseKeysConf(text).facts).toBeUndefined()
      expect(parseKeysConf(text).unfinished).toMatch(/^line 1: /)
    },
  )

  it('never throws', () => {
    const piece = fc.constantFrom('map ', '"$http_x_api_key:$http_x_api_secret" ', '$key_ok ', '{', '}', ';', '"', "'", '\\', '#', '\n', '~', '1', 'a:b', '${x}', 'default ') // prettier-ignore
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        parseKeysConf(pieces.join(''))
      }),
    )
  })

  it('survives depth', () => {
    expect(parseKeysConf('a {'.repeat(10_000)).facts).toBeUndefined()
  })
})
