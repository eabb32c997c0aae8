// What Postern starts as each Unix user, to act on their files; nothing for people.
import { serveUnixWorker } from '../dist/program/unix-worker.js'

await serveUnixWorker()
