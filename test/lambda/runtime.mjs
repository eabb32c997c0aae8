// What AWS Lambda's managed Node.js runtime does, as far as a function can see it: loads `index.handler` from the task root, asks
// the Runtime API for invocations one after the other, and sends what the handler answers. Plain JavaScript, for a process of
// any Node.js to run: node runtime.mjs, with AWS_LAMBDA_RUNTIME_API, LAMBDA_TASK_ROOT and _HANDLER in the environment.
import { existsSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const { AWS_LAMBDA_RUNTIME_API: api = '', LAMBDA_TASK_ROOT: root = '', _HANDLER: wanted = '' } = process.env
const agent = new Agent({ keepAlive: true, maxSockets: 2 })
const version = '2018-06-01'
const streams = Symbol.for('aws.lambda.runtime.handler.streaming')
const integration = 'application/vnd.awslambda.http-integration-response'

/** A call of the Runtime API; gives status, headers and the whole body. */
function call(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const sent = request(`http://${api}/${version}/runtime/${path}`, { method, agent, headers }, (answer) => {
      const chunks = []
      answer.on('data', (chunk) => chunks.push(chunk))
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text: Buffer.concat(chunks).toString() })
      })
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function errorOf(error) {
  const known = error instanceof Error
  return {
    errorType: known ? error.name : typeof error,
    errorMessage: known ? error.message : String(error),
    trace: known ? (error.stack ?? '').split('\n') : [],
  }
}

/** As the runtime logs what a function has not caught. */
function logError(title, error) {
  process.stderr.write(`${new Date().toISOString()}\tundefined\tERROR\t${title}\t${JSON.stringify(errorOf(error))}\n`)
}

function defineGlobals() {
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[streams] = true
      return handler
    },
    HttpResponseStream: {
      from(stream, prelude) {
        stream.setContentType(integration)
        const head = JSON.stringify(prelude)
        stream.beforeFirstWrite = (write) => {
          write(head)
          write(Buffer.alloc(8))
        }
        return stream
      },
    },
  }
}

async function load() {
  const [file = '', name = ''] = wanted.split('.')
  const path = ['.js', '.mjs', '.cjs'].map((ending) => join(root, file + ending)).find((one) => existsSync(one))
  if (path === undefined) throw new Error(`Cannot find module '${file}'`)
  const loaded = await import(pathToFileURL(path).href)
  const handler = loaded[name] ?? loaded.default?.[name]
  if (typeof handler !== 'function') throw new Error(`${wanted} is undefined or not exported`)
  return handler
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms'])
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  }
}

async function answerBuffered(id, handler, event, context) {
  let result
  try {
    result = await handler(event, context)
  } catch (error) {
    logError('Invoke Error', error)
    await call('POST', `invocation/${id}/error`, JSON.stringify(errorOf(error)), {
      'Content-Type': 'application/json',
      'Lambda-Runtime-Function-Error-Type': errorOf(error).errorType,
    })
    return
  }
  await call('POST', `invocation/${id}/response`, JSON.stringify(result ?? null), {
    'Content-Type': 'application/json',
  })
}

/** The prelude is sent by the first `write` alone: what ends a stream without one says nothing of its status. */
async function answerStreamed(id, handler, event, context) {
  const sent = request(`http://${api}/${version}/runtime/invocation/${id}/response`, {
    method: 'POST',
    agent,
    headers: {
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      'Transfer-Encoding': 'chunked',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
      'Content-Type': 'application/octet-stream',
    },
  })
  const over = new Promise((resolve) => {
    sent.on('response', (answer) => answer.resume().on('end', resolve).on('error', resolve))
    sent.on('error', resolve)
  })
  const write = sent.write.bind(sent)
  sent.setContentType = (type) => {
    if (sent.headersSent) throw new Error('Cannot set content-type, too late.')
    sent.setHeader('Content-Type', type)
  }
  sent.write = (chunk, ...rest) => {
    if (chunk === undefined || chunk === null) throw new Error('null cannot be written')
    const before = sent.beforeFirstWrite
    sent.beforeFirstWrite = undefined
    before?.(write)
    // As in the runtime: the socket is asked for at once, even by nothing.
    sent.flushHeaders()
    return chunk.length === 0 ? true : write(chunk, ...rest)
  }
  try {
    await handler(event, sent, context)
    if (!sent.writableEnded) throw new Error('the handler has returned before its stream has ended')
  } catch (error) {
    logError('Invoke Error', error)
    const told = JSON.stringify(errorOf(error))
    if (sent.headersSent) {
      sent.addTrailers({
        'Lambda-Runtime-Function-Error-Type': errorOf(error).errorType,
        'Lambda-Runtime-Function-Error-Body': Buffer.from(told).toString('base64'),
      })
      sent.end()
    } else {
      sent.destroy()
      await call('POST', `invocation/${id}/error`, told, { 'Content-Type': 'application/json' })
    }
  }
  await over
}

process.on('unhandledRejection', (error) => {
  logError('Unhandled Promise Rejection', error)
  process.exit(128)
})
defineGlobals()
let handler
try {
  handler = await load()
} catch (error) {
  logError('Init Error', error)
  await call('POST', 'init/error', JSON.stringify(errorOf(error)), { 'Content-Type': 'application/json' })
  process.exit(1)
}
for (;;) {
  const next = await call('GET', 'invocation/next')
  if (next.status !== 200) process.exit(0)
  const id = next.headers['lambda-runtime-aws-request-id']
  const context = contextOf(next.headers)
  const answer = handler[streams] === true ? answerStreamed : answerBuffered
  await answer(id, handler, JSON.parse(next.text), context)
}
