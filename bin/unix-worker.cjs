// What Postern starts as each Unix user, to act on their files; nothing for people. CommonJS, which starts sooner.
require('../dist/program/unix-worker.cjs').serveUnixWorker()
