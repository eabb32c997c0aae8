import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import dynalite from 'dynalite'
import { dynamodbClient, openDynamodbCatalog } from '../src/catalog/dynamodb.js'
import type { DynamodbOptions, DynamodbPlace, OpenedDynamodb } from '../src/catalog/dynamodb.js'
import { prepareDynamodbTable } from '../src/catalog/dynamodb/prepare-table.js'
import { createCredentials } from '../src/store/aws/credentials.js'

/** One request as it came to DynamoDB. */
export interface SeenRequest {
  readonly operation: string
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * What becomes of a request. `lose`: it is done, and its answer never comes. `drop`: it is cut off before it is done.
 * `stall`: nothing happens at all. `after`: it is done only then. `date`: the answer says that time.
 */
export type Fate =
  | 'pass'
  | 'lose'
  | 'drop'
  | 'stall'
  | { readonly after: Promise<unknown> }
  | { readonly status: number; readonly type: string }
  | { readonly date: Date }
  | { readonly cut: (body: unknown) => unknown }

/** A DynamoDB of this process (dynalite) behind a network that does what it is told. */
export interface LocalDynamodb {
  readonly endpoint: string
  /** Everything that was asked since the start. */
  readonly seen: readonly SeenRequest[]
  /** Decides the fate of each request from now on; without one all pass. */
  decide(fate?: (seen: SeenRequest) => Fate): void
  place(table: string): DynamodbPlace
  /** A table as `postern migrate` makes it. */
  prepare(table: string): Promise<void>
  open(
    options: { readonly table: string } & Pick<DynamodbOptions, 'clock' | 'followSkew' | 'log' | 'limits'>,
  ): Promise<OpenedDynamodb>
  stop(): Promise<void>
}

export const localRegion = 'eu-west-1'

export async function startDynamodb(options: { readonly createTableMs?: number } = {}): Promise<LocalDynamodb> {
  const inner = dynalite({ createTableMs: 0, ...options })
  await new Promise<void>((resolve) => inner.listen(0, '127.0.0.1', resolve))
  const target = (inner.address() as AddressInfo).port
  const seen: SeenRequest[] = []
  const times = new Map<unknown, unknown>()
  let decide: (seen: SeenRequest) => Fate = () => 'pass'

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const bytes = await buffer(incoming)
    const operation = String(incoming.headers['x-amz-target']).replace(/^.*\./, '')
    const body = JSON.parse(bytes.toString()) as Readonly<Record<string, unknown>>
    const one = { operation, body }
    seen.push(one)
    const fate = decide(one)
    if (fate === 'stall') return
    if (fate === 'drop') return void outgoing.destroy()
    if (typeof fate === 'object' && 'status' in fate) {
      answer(outgoing, fate.status, { __type: fate.type })
      return
    }
    if (typeof fate === 'object' && 'after' in fate) await fate.after
    // dynalite knows no times to live.
    if (operation === 'UpdateTimeToLive') {
      times.set(body['TableName'], body['TimeToLiveSpecification'])
      answer(outgoing, 200, {})
      return
    }
    if (operation === 'DescribeTimeToLive' && times.has(body['TableName'])) {
      const known = times.get(body['TableName']) as object
      answer(outgoing, 200, { TimeToLiveDescription: { TimeToLiveStatus: 'ENABLING', ...known } })
      return
    }
    const passed = await forwarded(target, incoming, bytes)
    if (fate === 'lose') return void outgoing.destroy()
    if (typeof fate === 'object' && 'date' in fate) outgoing.setHeader('date', fate.date.toUTCString())
    const cut = typeof fate === 'object' && 'cut' in fate ? fate.cut : undefined
    answer(outgoing, passed.status, cut === undefined ? passed.body : cut(passed.body))
  }

  const proxy = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const credentials = createCredentials({
    settings: { accessKeyId: 'local', secretAccessKey: 'local' },
    region: localRegion,
  })
  const place = (table: string): DynamodbPlace => ({ table, region: localRegion, endpoint, credentials })
  return {
    endpoint,
    seen,
    decide: (next) => void (decide = next ?? (() => 'pass')),
    place,
    async prepare(table) {
      const client = dynamodbClient(place(table))
      await prepareDynamodbTable({ table, client, apply: true })
      client.close()
    },
    open: ({ table, ...rest }) => openDynamodbCatalog({ ...place(table), ...rest }),
    async stop() {
      proxy.closeAllConnections()
      await new Promise((resolve) => proxy.close(resolve))
      inner.closeAllConnections()
      await new Promise((resolve) => inner.close(resolve))
    },
  }
}

function answer(outgoing: ServerResponse, status: number, body: unknown): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
}

function forwarded(
  port: number,
  { headers }: IncomingMessage,
  bytes: Buffer,
): Promise<{ readonly status: number; readonly body: unknown }> {
  return new Promise((resolve, reject) => {
    const passed = request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers }, (incoming) => {
      buffer(incoming).then((text) => {
        resolve({
          status: incoming.statusCode ?? 0,
          body: text.length === 0 ? {} : (JSON.parse(text.toString()) as unknown),
        })
      }, reject)
    })
    passed.on('error', reject)
    passed.end(bytes)
  })
}
