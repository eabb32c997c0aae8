import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pathOf, segmentsOf, toPath, type StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'
import { allActions, compileGrants, expandUser, parseGrant, permitOf } from './grant.js'
import { scopeGrant } from './scope/scope-map.js'

type Row = readonly [grant: string, path: string, allowed: boolean]

const decisions: readonly Row[] = [
  // Segment borders.
  ['r:/acme/**', '/acme-other', false],
  ['r:/acme/**', '/acme-other/x', false],
  ['r:/acme/**', '/acmeother', false],
  ['r:/acme/**', '/acm', false],
  ['r:/acme/**', '/', false],
  ['r:/acme/**', '/ACME', false],
  ['r:/acme/**', '/Acme/x', false],
  ['r:/acme/**', '/x/acme', false],
  ['r:/acme/**', '/x/acme/y', false],
  ['r:/acme/**', '/acme%2Fx', false],
  ['r:/acme/**', '/acme%2F..%2Fother', false],
  ['r:/acme/**', '/acme\\x', false],
  ['r:/acme/**', '/acme ', false],
  ['r:/acme/**', '/acme.', false],
  ['r:/acme/**', '/acme\u200b', false],
  ['r:/acme/**', '/аcme', false],
  ['r:/acme/**', '/acme', true],
  ['r:/acme/**', '/acme/', true],
  ['r:/acme/**', '//acme///x', true],
  ['r:/acme/**', '/acme/x', true],
  ['r:/acme/**', '/acme/x/y/z', true],
  ['r:/acme/**', '/acme/...', true],
  ['r:/acme/**', '/acme/**', true],
  ['r:/acme/**/', '/acme/x', true],
  ['r://acme//**', '/acme/x', true],
  // Literal patterns.
  ['r:/acme', '/acme', true],
  ['r:/acme/', '/acme', true],
  ['r:/acme', '/acme/x', false],
  ['r:/acme', '/', false],
  ['r:/acme/a', '/acme', false],
  ['r:/', '/', true],
  ['r:/', '/x', false],
  // One segment.
  ['r:/acme/*', '/acme/x', true],
  ['r:/acme/*', '/acme', false],
  ['r:/acme/*', '/acme/x/y', false],
  ['r:/*', '/', false],
  ['r:/*', '/x', true],
  ['r:/*', '/x/y', false],
  ['r:/*/x', '/a/x', true],
  ['r:/*/x', '/x', false],
  ['r:/*/x', '/a/b/x', false],
  ['r:/*/*', '/a/b', true],
  ['r:/*/*', '/a', false],
  // Parts of a segment.
  ['r:/acme/*.pdf', '/acme/a.pdf', true],
  ['r:/acme/*.pdf', '/acme/.pdf', true],
  ['r:/acme/*.pdf', '/acme/a.pdf/x', false],
  ['r:/acme/*.pdf', '/acme/x/a.pdf', false],
  ['r:/acme/*.pdf', '/acme/a.pdf.exe', false],
  ['r:/acme/*.pdf', '/acme/aXpdf', false],
  ['r:/a*b', '/ab', true],
  ['r:/a*b', '/aXb', true],
  ['r:/a*b', '/a', false],
  ['r:/a*a', '/a', false],
  ['r:/a*a', '/aa', true],
  ['r:/a*b*c', '/a1b2c', true],
  ['r:/a*b*c', '/acb', false],
  ['r:/a*b*b', '/ab', false],
  ['r:/*a*', '/bab', true],
  ['r:/*a*', '/bbb', false],
  ['r:/a*/**', '/ab/c/d', true],
  ['r:/a*/**', '/b/ab', false],
  // Any number of segments.
  ['r:/**', '/', true],
  ['r:/**', '/any/thing', true],
  ['r:/**/x', '/x', true],
  ['r:/**/x', '/a/b/x', true],
  ['r:/**/x', '/a/b/x/y', false],
  ['r:/**/x', '/a/b/ax', false],
  ['r:/a/**/z', '/a/z', true],
  ['r:/a/**/z', '/a/b/c/z', true],
  ['r:/a/**/z', '/b/z', false],
  ['r:/a/**/z/**', '/a/b/z/c/d', true],
  ['r:/a/**/z/**', '/a/b', false],
  ['r:/**/a/**/b', '/a/b/a/c/b', true],
  ['r:/**/a/**/b', '/b/a', false],
  ['r:/**/*', '/', false],
  ['r:/**/*', '/x/y', true],
  ['r:/a/**/**/b', '/a/b', true],
  // Other characters stand for themselves.
  ['r:/a?c', '/abc', false],
  ['r:/a.c', '/abc', false],
  ['r:/[ab]', '/a', false],
  ['r:/{a,b}', '/a', false],
  ['r:/(a|b)', '/a', false],
  ['r:/a+', '/aa', false],
  ['r:/^a$', '/a', false],
  ['r:/a:b', '/a:b', true],
  ['r:/100%/**', '/100%/x', true],
  ['r:/%61/**', '/a/x', false],
  ['r:/😀/**', '/😀/x', true],
  // One form of Unicode on both sides.
  ['r:/caf\u00e9/**', '/cafe\u0301/x', true],
  ['r:/cafe\u0301/**', '/caf\u00e9/x', true],
  ['r:/cafe/**', '/caf\u00e9/x', false],
  ['r:/cafe*/**', '/caf\u00e9/x', false],
]

describe('which paths a grant covers', () => {
  it.each(decisions)('%s on %s: %s', (grant, path, allowed) => {
    const permit = compileGrants([grant], 'test')
    expect(permit.allows('read', toPath(path))).toBe(allowed)
    expect(permit.allows('create', toPath(path))).toBe(false)
  })
})

describe('which actions a grant allows', () => {
  it.each([
    ['r', ['read', 'list']],
    ['rw', allActions],
    ['create', ['create']],
    ['read', ['read']],
    ['read,list', ['read', 'list']],
    ['r,create', ['read', 'list', 'create']],
    ['delete,delete,replace', ['delete', 'replace']],
  ])('%s', (word, actions) => {
    const permit = compileGrants([`${word}:/a/**`], 'test')
    expect(allActions.filter((action) => permit.allows(action, toPath('/a/b'))).sort()).toEqual([...actions].sort())
    expect(allActions.filter((action) => permit.allows(action, toPath('/b')))).toEqual([])
  })
})

type MethodRow = readonly [grant: string, action: Action, path: string, allowed: boolean]

const methodDecisions: readonly MethodRow[] = [
  // What a scope of methods gives, and what it does not.
  ['GET:/acme/**', 'read', '/acme/x', true],
  ['GET:/acme/**', 'list', '/acme', true],
  ['GET:/acme/**', 'create', '/acme/x', false],
  ['GET:/acme/**', 'replace', '/acme/x', false],
  ['GET:/acme/**', 'delete', '/acme/x', false],
  ['GET,HEAD:/acme/**', 'read', '/acme/x', true],
  ['GET,HEAD:/acme/**', 'create', '/acme/x', false],
  ['GET,HEAD:/acme/**', 'read', '/acme-other/x', false],
  ['GET,HEAD:/acme/**', 'read', '/ACME/x', false],
  ['GET,HEAD:/acme/**', 'read', '/acme%2Fx', false],
  ['GET,HEAD:/acme/**', 'read', '/acme/%2e%2e/other', true],
  ['PROPFIND:/acme/**', 'list', '/acme/x', true],
  ['PROPFIND:/acme/**', 'read', '/acme/x', false],
  ['PUT:/acme/**', 'create', '/acme/x', true],
  ['PUT:/acme/**', 'replace', '/acme/x', true],
  ['PUT:/acme/**', 'read', '/acme/x', false],
  ['PUT:/acme/**', 'list', '/acme', false],
  ['PUT:/acme/**', 'delete', '/acme/x', false],
  ['PATCH:/acme/**', 'replace', '/acme/x', true],
  ['PATCH:/acme/**', 'create', '/acme/x', false],
  ['POST:/inbox/**', 'create', '/inbox/x', true],
  ['POST:/inbox/**', 'replace', '/inbox/x', false],
  ['POST:/inbox/**', 'read', '/inbox/x', false],
  ['DELETE:/acme/**', 'delete', '/acme/x', true],
  ['DELETE:/acme/**', 'replace', '/acme/x', false],
  ['PUT,DELETE:/acme/uploads/**', 'delete', '/acme/uploads/x', true],
  ['PUT,DELETE:/acme/uploads/**', 'read', '/acme/uploads/x', false],
  ['PUT,DELETE:/acme/uploads/**', 'create', '/acme/x', false],
  // What counts as other methods brings nothing of its own.
  ['GET,MKCOL:/acme/**', 'create', '/acme/x', false],
  ['GET,LOCK,UNLOCK:/acme/**', 'create', '/acme/x', false],
  ['GET,PROPPATCH:/acme/**', 'replace', '/acme/x', false],
  ['GET,COPY:/acme/**', 'create', '/acme/x', false],
  ['GET,MOVE:/acme/**', 'delete', '/acme/x', false],
  ['GET,OPTIONS,REPORT:/acme/**', 'delete', '/acme/x', false],
  // Words and methods together.
  ['create,GET:/acme/**', 'create', '/acme/x', true],
  ['create,GET:/acme/**', 'read', '/acme/x', true],
  ['create,GET:/acme/**', 'delete', '/acme/x', false],
  ['GET:/', 'list', '/', true],
  ['GET:/', 'read', '/x', false],
  ['GET:/*/public/**', 'read', '/a/public/x', true],
  ['GET:/*/public/**', 'read', '/public/x', false],
  ['GET:/**/*.pdf', 'read', '/a/b/c.pdf', true],
  ['GET:/**/*.pdf', 'read', '/a/b/c.pdf/d', false],
]

describe('methods of HTTP as actions', () => {
  it.each(methodDecisions)('%s: %s %s: %s', (grant, action, path, allowed) => {
    expect(compileGrants([grant], 'test').allows(action, toPath(path))).toBe(allowed)
  })

  it.each(['HEAD', 'OPTIONS', 'MKCOL', 'LOCK,UNLOCK', 'PROPPATCH', 'COPY', 'MOVE', 'HEAD,MOVE'])(
    '%s alone allow nothing, and say so',
    (methods) => {
      expect(() => parseGrant(`${methods}:/acme/**`)).toThrow('allow nothing by themselves')
    },
  )

  it.each(['get', 'Get', 'TRACE', 'CONNECT', 'GET ', 'GET|HEAD', '(GET)', '*', 'ANY'])('%j is none', (method) => {
    expect(() => parseGrant(`${method}:/acme/**`)).toThrow('is no action')
  })
})

describe('grants made of maps', () => {
  const map = { key: 'K', exact: [], expressions: [{ pattern: '^K:GET:/a/', ignoreCase: false, allows: true }], otherwise: false } // prettier-ignore

  it('count together with others', () => {
    const permit = compileGrants(['create:/b/**', scopeGrant(map)], 'test')
    expect(permit.allows('read', toPath('/a/x'))).toBe(true)
    expect(permit.allows('create', toPath('/a/x'))).toBe(false)
    expect(permit.allows('create', toPath('/b/x'))).toBe(true)
    expect(permit.allows('read', toPath('/b/x'))).toBe(false)
    expect(permit.allowsAllBelow('list', toPath('/a'))).toBe(true)
    expect(permit.mayAllowBelow(toPath('/b'))).toBe(true)
    expect(permit.mayAllowBelow(toPath('/c'))).toBe(false)
    expect(permit.explain('create', toPath('/b/x'))).toEqual({ grant: 'create:/b/**', source: 'test' })
    expect(permit.explain('read', toPath('/a/x'))).toEqual({ grant: '~^K:GET:/a/', source: 'test' })
    expect(permit.explain('delete', toPath('/a/x'))).toBeUndefined()
  })

  it.each([
    'map:',
    'map:null',
    'map:{}',
    'map:[]',
    'map:{"key":"K"}',
    'map:{"key":"K","exact":[],"expressions":[{"pattern":"("}]}',
    'map:{"key":"K","exact":[{}],"expressions":[{}]}',
  ])(
    // prettier-ignore
    'that nobody made are refused: %s',
    (text) => {
      expect(() => compileGrants([text], 'test')).toThrow(expect.objectContaining({ kind: 'invalid' }))
    },
  )

  it('are no words for a configuration', () => {
    expect(() => parseGrant(scopeGrant(map))).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })
})

describe('grants that are refused', () => {
  it.each([
    ['', 'no colon'],
    ['rw', 'no colon'],
    ['/acme/**', 'no colon'],
    [':/acme', 'no action'],
    ['x:/acme', '"x" is no action'],
    ['R:/acme', 'no action'],
    ['r w:/acme', 'no action'],
    [' r:/acme', 'no action'],
    ['r,:/acme', 'no action'],
    ['r;create:/acme', 'no action'],
    ['constructor:/acme', 'no action'],
    ['r:', 'begin with a slash'],
    ['r:acme/**', 'begin with a slash'],
    ['r: /acme', 'begin with a slash'],
    ['r:**', 'begin with a slash'],
    ['r:/a/../b', '`..`'],
    ['r:/a/./b', '`..`'],
    ['r:/a\0b', 'NUL'],
    ['r:/a\ud800', 'UTF-8'],
    ['r:/a**', 'whole segment'],
    ['r:/**a/b', 'whole segment'],
    ['r:/***', 'whole segment'],
    [`r:/${'x'.repeat(256)}`, 'longer'],
    [`r:${'/x'.repeat(3000)}`, 'longer'],
  ])('%j', (text, why) => {
    expect(() => parseGrant(text)).toThrow(
      expect.objectContaining({ kind: 'invalid', message: expect.stringContaining(why) as unknown }),
    )
    expect(() => compileGrants(['rw:/**', text], 'test')).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('names the text', () => {
    expect(() => parseGrant('write:/acme/**')).toThrow('"write:/acme/**"')
  })
})

describe('a permit', () => {
  it('denies by default', () => {
    const permit = compileGrants([], 'test')
    for (const action of allActions) {
      expect(permit.allows(action, toPath('/'))).toBe(false)
      expect(permit.allowsAllBelow(action, toPath('/'))).toBe(false)
      expect(permit.explain(action, toPath('/'))).toBeUndefined()
    }
    expect(permit.mayAllowBelow(toPath('/'))).toBe(false)
  })

  it('is the union of its grants and says which one decides', () => {
    const permit = compileGrants(['create:/inbox/**', 'r:/acme/**', 'rw:/acme/mine/**'], 'htpasswd')
    expect(permit.allows('delete', toPath('/acme/x'))).toBe(false)
    expect(permit.allows('delete', toPath('/acme/mine/x'))).toBe(true)
    expect(permit.allows('read', toPath('/inbox/x'))).toBe(false)
    expect(permit.explain('create', toPath('/inbox/x'))).toEqual({ grant: 'create:/inbox/**', source: 'htpasswd' })
    expect(permit.explain('read', toPath('/acme/mine'))).toEqual({ grant: 'r:/acme/**', source: 'htpasswd' })
  })

  it.each([
    ['r:/acme/**', '/', false, true],
    ['r:/acme/**', '/acme', true, true],
    ['r:/acme/**', '/acme/x', true, true],
    ['r:/acme/**', '/acme-other', false, false],
    ['r:/acme/**', '/acm', false, false],
    ['r:/acme/*', '/', false, true],
    ['r:/acme/*', '/acme', false, true],
    ['r:/acme/*', '/acme/x', false, true],
    ['r:/acme/*', '/acme/x/y', false, false],
    ['r:/acme/a', '/acme', false, true],
    ['r:/acme/a', '/acme/a', false, true],
    ['r:/acme/a', '/acme/a/b', false, false],
    ['r:/acme/a', '/acme/ab', false, false],
    ['r:/**', '/', true, true],
    ['r:/**', '/x', true, true],
    ['r:/', '/', false, true],
    ['r:/', '/x', false, false],
    ['r:/*/x/**', '/a', false, true],
    ['r:/*/x/**', '/a/x', true, true],
    ['r:/*/x/**', '/a/y', false, false],
    ['r:/a*/**', '/', false, true],
    ['r:/a*/**', '/b', false, false],
    ['r:/**/x', '/any/thing', false, true],
    ['r:/a/**/x', '/b', false, false],
  ])('%s below %s: all %s, some %s', (grant, path, all, some) => {
    const permit = compileGrants([grant], 'test')
    expect(permit.allowsAllBelow('read', toPath(path))).toBe(all)
    expect(permit.allowsAllBelow('delete', toPath(path))).toBe(false)
    expect(permit.mayAllowBelow(toPath(path))).toBe(some)
  })

  it.each([
    ['create:/inbox/**', '/', true],
    ['create:/inbox/**', '/inbox', true],
    ['create:/inbox/**', '/inbox/sub', false],
    ['create:/inbox/**', '/other', false],
    ['create:/in/*/box/**', '/in', true],
    ['create:/in/*/box/**', '/in/a', false],
    ['create,replace,delete:/a/b', '/a', true],
    ['create,replace,delete:/a/b', '/a/b/c', false],
    ['create:/**', '/', true],
    ['create:/**', '/a', false],
  ])('%s, which shows nothing, leads to %s: %s', (grant, path, leads) => {
    expect(compileGrants([grant], 'test').mayAllowBelow(toPath(path))).toBe(leads)
  })

  it('is compiled once for an identity', () => {
    const identity = { name: 'a', source: 'test', grants: ['r:/**'] }
    expect(permitOf(identity)).toBe(permitOf({ ...identity }))
    expect(permitOf({ ...identity, grants: ['r:/x'] }).allows('read', toPath('/y'))).toBe(false)
  })
})

describe('{user}', () => {
  it.each(['', '.', '..', 'a/b', '../b', '*', 'a*', '**', 'a\0', 'a\n', 'a\\b', '\ud800'])('is never %j', (name) => {
    expect(() => expandUser(['rw:/home/{user}/**'], name)).toThrow(expect.objectContaining({ kind: 'denied' }))
  })

  it('leaves grants without it alone, whatever the name', () => {
    expect(expandUser(['r:/public/**'], '../x')).toEqual(['r:/public/**'])
  })

  it('stands for the name everywhere, as it is', () => {
    const name = "o'b$&{user}"
    expect(expandUser(['rw:/home/{user}/**', 'r:/x/{user}-{user}'], name)).toEqual([
      `rw:/home/${name}/**`,
      `r:/x/${name}-${name}`,
    ])
  })
})

/** The definition, as directly as it can be said. */
function model(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...others] = pattern
  if (first === undefined) return path.length === 0
  if (first === '**') return path.some((_, at) => model(others, path.slice(at))) || model(others, [])
  const [name, ...deeper] = path
  return name !== undefined && modelSegment(first, name) && model(others, deeper)
}

function modelSegment(pattern: string, name: string): boolean {
  if (pattern === '') return name === ''
  if (pattern.startsWith('*'))
    return modelSegment(pattern.slice(1), name) || (name !== '' && modelSegment(pattern, name.slice(1)))
  return name.startsWith(pattern.charAt(0)) && modelSegment(pattern.slice(1), name.slice(1))
}

describe('against the naive model', () => {
  const name = fc
    .string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 4 })
    .filter((one) => !/^\.\.?$/.test(one))
  const patternSegment = fc.oneof(
    { arbitrary: name, weight: 2 },
    { arbitrary: fc.constant('**'), weight: 1 },
    {
      arbitrary: fc
        .string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 5 })
        .filter((one) => !one.includes('**')),
      weight: 3,
    },
  )
  const patterns = fc.array(patternSegment, { maxLength: 5 })
  const paths = fc.array(name, { maxLength: 6 })
  const permitFor = (pattern: readonly string[]) => compileGrants([`read:/${pattern.join('/')}`], 'test')

  it('decides the same', () => {
    fc.assert(
      fc.property(patterns, paths, (pattern, path) => {
        expect(permitFor(pattern).allows('read', pathOf(path))).toBe(model(pattern, path))
      }),
      { numRuns: 3000 },
    )
  })

  it('never promises all below where something is not allowed, nor nothing below where something is', () => {
    fc.assert(
      fc.property(patterns, paths, paths, (pattern, path, below) => {
        const permit = permitFor(pattern)
        const allowed = permit.allows('read', pathOf([...path, ...below]))
        if (permit.allowsAllBelow('read', pathOf(path))) expect(allowed).toBe(true)
        if (allowed) expect(permit.mayAllowBelow(pathOf(path))).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })

  it('never throws anything but invalid, and grants nothing by accident', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          const permit = compileGrants([text], 'test')
          expect(text).toMatch(/^[a-z,]+:\//)
          expect(permit.mayAllowBelow('/' as StorePath)).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
        }
      }),
    )
  })

  it('costs little for hostile patterns', () => {
    const permit = compileGrants([`r:/${'**/a*a*a*a*a*b/'.repeat(40)}x`], 'test')
    const path = pathOf(Array.from({ length: 30 }, () => 'a'.repeat(100)))
    const before = performance.now()
    expect(permit.allows('read', path)).toBe(false)
    expect(performance.now() - before).toBeLessThan(200)
    expect(segmentsOf(path)).toHaveLength(30)
  })
})
