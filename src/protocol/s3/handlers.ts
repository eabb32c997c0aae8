import type { Operation } from './context.js'
import type { OperationName } from './operations.js'

/** What carries out each operation. */
export const handlers: Readonly<Partial<Record<OperationName, Operation>>> = {}
