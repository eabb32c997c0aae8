import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Frames of a link, as plainly as they can be read and written. */
const frames = `
const net = require('node:net')
function speak(socket, take) {
  let received = Buffer.alloc(0)
  socket.on('data', (piece) => {
    received = Buffer.concat([received, piece])
    while (received.length >= 8 && received.length >= 8 + received.readUInt32BE(0)) {
      const end = 8 + received.readUInt32BE(0)
      take(JSON.parse(received.subarray(8, 8 + received.readUInt32BE(4)).toString()))
      received = received.subarray(end)
    }
  })
  socket.on('close', () => process.exit(0))
  socket.on('error', () => process.exit(0))
  return (message) => {
    const head = Buffer.from(JSON.stringify(message))
    const prefix = Buffer.alloc(8)
    prefix.writeUInt32BE(head.length, 0)
    prefix.writeUInt32BE(head.length, 4)
    socket.write(Buffer.concat([prefix, head]))
  }
}
`

/** Says one message to the broker, takes everything, and ends when it is told to. Arguments: path of the socket, message. */
const server = `${frames}
const send = speak(net.connect(process.argv[2]), (message) => {
  if (message.ask !== undefined && message.head?.refuse !== undefined)
    return send({ failure: message.ask, of: { kind: 'invalid', message: message.head.refuse } })
  if (message.ask !== undefined) send({ answer: message.ask })
  if (message.name === 'stop' || message.tell === 'stop') setTimeout(() => process.exit(0), 20)
})
send({ ask: 1, ...JSON.parse(process.argv[3]) })
`

/** Does what its link asks for: tells of itself, crashes, takes memory, stands still. */
const worker = `${frames}
const fs = require('node:fs')
let settings = ''
process.stdin.on('data', (text) => (settings += text))
process.stdin.on('end', () => {
  const kept = []
  const send = speak(new net.Socket({ fd: 3 }), ({ ask, name, head }) => {
    if (name === 'about') {
      const tasks = fs.readdirSync('/proc/self/task').map((task) => fs.readFileSync('/proc/self/task/' + task + '/status', 'utf8'))
      const files = fs.readdirSync('/proc/self/fd').flatMap((fd) => {
        try { return [[Number(fd), fs.readlinkSync('/proc/self/fd/' + fd)]] } catch { return [] }
      })
      send({ answer: ask, head: { pid: process.pid, tasks, files, cwd: process.cwd(), environment: process.env, settings: JSON.parse(settings) } })
    }
    if (name === 'crash') process.exit(3)
    if (name === 'complain') { console.error(head.text); send({ answer: ask }) }
    if (name === 'stand-still') { send({ answer: ask }); setImmediate(() => { for (;;); }) }
    if (name === 'take') { kept.push(Buffer.alloc(head.bytes, 1)); send({ answer: ask }) }
    if (name === 'look') { fs.stat(head.path, () => undefined); send({ answer: ask }) }
    if (name === 'stay') { process.exit = () => undefined; setInterval(() => undefined, 1e6); send({ answer: ask }) }
  })
})
`

/** Programs that stand in for the front, the process of identities and a worker, which a test plays itself. */
export interface Puppets {
  readonly folder: string
  readonly server: readonly string[]
  readonly worker: readonly string[]
}

/** Writes them where every user can read them. */
export function writePuppets(folder: string): Puppets {
  mkdirSync(folder)
  chmodSync(folder, 0o755)
  const write = (name: string, text: string): readonly string[] => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o644 })
    return [process.execPath, path]
  }
  return { folder, server: write('server.cjs', server), worker: write('worker.cjs', worker) }
}
