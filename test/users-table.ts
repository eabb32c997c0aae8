import { createHash } from 'node:crypto'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { DynamoDB } from '@aws-sdk/client-dynamodb'
import dynalite from 'dynalite'

/** What the SDK finds in the environment; dynalite takes any. */
export const awsEnvironment = {
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
  AWS_EC2_METADATA_DISABLED: 'true',
}

export const tableName = 'basicAuthUsers'
export const realm = 'dav'

/** A users table as `basicauth-user-manager` makes it, in a DynamoDB of this process. */
export interface LocalTable {
  readonly endpoint: string
  readonly port: number
  /** Puts a whole row, whatever was there. */
  put(user: string, row: Readonly<Record<string, AttributeValue>>): Promise<void>
  get(user: string): Promise<Readonly<Record<string, AttributeValue>> | undefined>
  remove(user: string): Promise<void>
  stop(): Promise<void>
}

export async function startTable(sortKey: 'user' | 'username' = 'user'): Promise<LocalTable> {
  Object.assign(process.env, awsEnvironment)
  const server = dynalite({ createTableMs: 0 })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const endpoint = `http://127.0.0.1:${port}`
  const client = new DynamoDB({ endpoint, region: 'eu-west-1' })
  await client.createTable({
    TableName: tableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: 'realm', AttributeType: 'S' },
      { AttributeName: sortKey, AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: 'realm', KeyType: 'HASH' },
      { AttributeName: sortKey, KeyType: 'RANGE' },
    ],
  })
  while ((await client.describeTable({ TableName: tableName })).Table?.TableStatus !== 'ACTIVE');
  const key = (user: string) => ({ realm: { S: realm }, [sortKey]: { S: user } })
  return {
    endpoint,
    port,
    async put(user, row) {
      await client.putItem({ TableName: tableName, Item: { ...row, ...key(user) } })
    },
    get: async (user) => (await client.getItem({ TableName: tableName, Key: key(user), ConsistentRead: true })).Item,
    async remove(user) {
      await client.deleteItem({ TableName: tableName, Key: key(user) })
    },
    async stop() {
      client.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** As pam-dynamo and its user manager have it: SHA3-256 of the salt and the password, in lower-case hex. */
export function sha3(password: string, salt = ''): string {
  return createHash('sha3-256')
    .update(salt + password)
    .digest('hex')
}

/** How a source misbehaves. `stall`: takes everything and says nothing. `trickle`: a header at a time, for ever. */
export type Fault = 'none' | 'stall' | 'reset' | 'trickle' | { readonly status: number; readonly body: string }

/** A network that does to a table what it is told; connections of before are cut with each change. */
export interface FaultyProxy {
  readonly endpoint: string
  /** Requests that came in, and connections that are open. */
  readonly counts: { requests: number; open: number; mostOpen: number }
  set(fault: Fault): void
  stop(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<FaultyProxy> {
  let fault: Fault = 'none'
  const sockets = new Set<Socket>()
  const counts = { requests: 0, open: 0, mostOpen: 0 }
  const server = createServer((socket) => {
    sockets.add(socket)
    counts.open += 1
    counts.mostOpen = Math.max(counts.mostOpen, counts.open)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      counts.open -= 1
      sockets.delete(socket)
    })
    socket.on('data', (bytes) => {
      if (bytes.includes('POST / HTTP/1.1')) counts.requests += 1
    })
    if (fault === 'reset') {
      socket.once('data', () => socket.resetAndDestroy())
      return
    }
    if (fault === 'stall') return
    if (fault === 'trickle') {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 1000000\r\n\r\n{')
        const drip = setInterval(() => socket.write(' '), 50)
        socket.on('close', () => clearInterval(drip))
      })
      return
    }
    if (typeof fault === 'object') {
      const { status, body } = fault
      const head = `HTTP/1.1 ${status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`
      socket.once('data', () => socket.end(head + body))
      return
    }
    const upstream = connect(targetPort, '127.0.0.1')
    upstream.on('error', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
    socket.pipe(upstream).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    set(next) {
      fault = next
      for (const socket of sockets) socket.destroy()
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
