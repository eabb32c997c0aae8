import { openDropFunction } from './config/drop-function.js'
import { readEnvironment } from './config/environment.js'

/** A drop alone, as a function: `index.handler` buffers answers, `index.streaming` is for Function URLs with RESPONSE_STREAM. */
export const { handler, streaming } = openDropFunction(readEnvironment())
