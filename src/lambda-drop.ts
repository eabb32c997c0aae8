import { readEnvironment } from './config/environment.js'
import { openFunction } from './config/lambda-function.js'

/** The whole gateway as a function: `index.handler` buffers answers, `index.streaming` is for Function URLs with RESPONSE_STREAM. */
export const { handler, streaming } = await openFunction(readEnvironment())
