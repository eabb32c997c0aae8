import { z } from 'zod'
import { configSchema } from './schema.js'
import { closest } from './similar.js'

/** Something wrong with one key. */
export interface Problem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** The schema's complaints in words for people: each unknown key by itself, with what was perhaps meant. */
export function problemsIn(
  issues: readonly z.core.$ZodIssue[],
  above: readonly PropertyKey[] = [],
): readonly Problem[] {
  return issues.flatMap((issue) => {
    const path = [...above, ...issue.path]
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ path: [...path, key], message: `is not a setting${hint(key, path)}` }))
    if (issue.code === 'invalid_union') {
      const branches = issue.errors.filter((branch) => !branch.every((each) => each.path.length === 0 && isKind(each)))
      const [only, ...others] = branches
      if (only !== undefined && others.length === 0) return problemsIn(only, path)
    }
    return [{ path, message: issue.message }]
  })
}

/** Whether it says that the value is of another kind altogether. */
function isKind(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_value'
}

function hint(key: string, path: readonly PropertyKey[]): string {
  const meant = closest(key, keysBelow(path[0]))
  return meant === undefined ? '' : `; did you mean ${meant}?`
}

/** The keys that may stand at the top, or anywhere below one of its keys. */
function keysBelow(top: PropertyKey | undefined): readonly string[] {
  const { properties = {} } = z.toJSONSchema(configSchema, { unrepresentable: 'any' })
  return top === undefined ? Object.keys(properties) : nestedKeys(properties[String(top)])
}

function nestedKeys(schema: unknown): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const own =
    'properties' in schema && typeof schema.properties === 'object' ? Object.keys(schema.properties ?? {}) : []
  return [...own, ...Object.values(schema).flatMap(nestedKeys)]
}
