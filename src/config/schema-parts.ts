import { z } from 'zod'
import { parseGrant } from '../auth/grant.js'
import { compilePattern } from '../auth/pattern.js'
import { parseBytes } from '../core/bytes.js'
import { Failure } from '../core/failure.js'

export const text = z.string({ error: 'must be text' }).min(1, 'must not be empty')
export const flag = z.boolean({ error: 'must be true or false' })

export function whole(minimum: number, maximum: number): z.ZodInt {
  const error = `must be a whole number from ${minimum} to ${maximum}`
  return z.int({ error }).min(minimum, error).max(maximum, error)
}

export function oneOf<const Value extends string>(...values: readonly Value[]): z.ZodEnum<{ [Key in Value]: Key }> {
  return z.enum(values, { error: `must be one of: ${values.join(', ')}` })
}

export function listOf<Item extends z.ZodType>(item: Item): z.ZodArray<Item> {
  return z.array(item, { error: 'must be a list' })
}

export function objectOf<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'must be a group of keys' : undefined),
  })
}

export const grant = text.superRefine((value, context) => {
  try {
    parseGrant(value)
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Failure ? error.message : 'must be a grant' })
  }
})

export const pattern = text.superRefine((value, context) => {
  try {
    compilePattern(value)
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Failure ? error.message : 'must be a pattern' })
  }
})

const bytesMessage = 'must be a number of bytes, or text such as 500M, 10G or 2T'

/** A number of bytes, with K, M, G or T for powers of 1024. */
export const bytes = z.union(
  [
    z.int({ error: bytesMessage }).min(1, bytesMessage),
    z.string().transform((value, context) => {
      const found = parseBytes(value)
      if (found !== undefined) return found
      context.addIssue({ code: 'custom', message: bytesMessage })
      return z.NEVER
    }),
  ],
  { error: bytesMessage },
)
