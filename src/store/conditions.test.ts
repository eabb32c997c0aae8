import { describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import { rootPath } from '../core/path.js'
import { conditionsHold, requireConditions } from './conditions.js'
import type { Conditions } from './store.js'

const there = { etag: 'e1', modified: 5_700 }

describe('conditions', () => {
  it.each<[Conditions, boolean, boolean]>([
    [{}, true, true],
    [{ ifMatch: '*' }, true, false],
    [{ ifMatch: ['e1'] }, true, false],
    [{ ifMatch: ['e0', 'e1'] }, true, false],
    [{ ifMatch: ['e0'] }, false, false],
    [{ ifMatch: ['*'] }, false, false],
    [{ ifMatch: [] }, false, false],
    [{ ifNoneMatch: '*' }, false, true],
    [{ ifNoneMatch: ['e1'] }, false, true],
    [{ ifNoneMatch: ['e0'] }, true, true],
    [{ ifNoneMatch: [] }, true, true],
    [{ ifUnmodifiedSince: 5_000 }, true, true],
    [{ ifUnmodifiedSince: 4_999 }, false, true],
    [{ ifMatch: ['e1'], ifUnmodifiedSince: 4_000 }, false, false],
    [{ ifMatch: ['e1'], ifNoneMatch: ['e1'] }, false, false],
  ])('%j holds for a file: %s, for nothing: %s', (conditions, forFile, forNothing) => {
    expect(conditionsHold(there, conditions)).toBe(forFile)
    expect(conditionsHold(undefined, conditions)).toBe(forNothing)
  })

  it('says which file was at fault', () => {
    expect(() => {
      requireConditions(rootPath, undefined, { ifMatch: '*' })
    }).toThrow(expect.toSatisfy((error: unknown) => isFailure(error, 'precondition') && error.path === rootPath))
  })
})
