import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { send, Wrong } from '../lib/http.mjs'
import { expectAll, requests } from '../lib/load.mjs'
import { ask, makeBucket, pathOf, signedStep, unsigned } from '../lib/s3.mjs'
import { signedChunks } from '../lib/s3-sign.mjs'
import { onDisk, touchMemory, workFolder } from '../lib/site.mjs'
import { documentPath as source, megabytesPerSecond, sampled, sampleOf, size, warm } from './big-body.mjs'

const encoded = join(workFolder, 'chunks.body')

async function expectContent(server, key) {
  const { body } = await ask(server, 'GET', pathOf(key), { headers: sampled, expected: [206] })
  if (!body.equals(sampleOf(source))) throw new Wrong('other content')
  const { headers } = await ask(server, 'HEAD', pathOf(key))
  if (Number(headers['content-length']) !== size) throw new Wrong(`${headers['content-length']} bytes`)
}

/** Writes the body of an upload in signed chunks, and returns its headers. */
function encode(server, target, chunkBytes) {
  const input = openSync(onDisk(source), 'r')
  const output = openSync(encoded, 'w')
  const { headers, feed } = signedChunks(unsigned(server, 'PUT', target), size, (part) => writeSync(output, part))
  const chunk = Buffer.alloc(chunkBytes)
  for (let length; (length = readSync(input, chunk)) > 0;) feed(chunk.subarray(0, length))
  feed(Buffer.alloc(0))
  closeSync(input)
  closeSync(output)
  return headers
}

/** MB/s of a hash alone, over memory, on the cores of the server while that is idle. */
function hashSpeed({ cores }, ...algorithms) {
  const program = `
    const { createHash } = require('node:crypto')
    const piece = Buffer.alloc(65536, 7)
    const hashes = ${JSON.stringify(algorithms)}.map((name) => createHash(name))
    const begun = process.hrtime.bigint()
    for (let done = 0; done < ${size}; done += piece.length) for (const hash of hashes) hash.update(piece)
    console.log(${size} / 1e6 / (Number(process.hrtime.bigint() - begun) / 1e9))`
  const { stdout } = spawnSync('taskset', ['-c', cores, process.execPath, '-e', program], { encoding: 'utf8' })
  return Number(stdout)
}

async function chunked(server, chunkBytes) {
  const target = pathOf('chunked.bin')
  const headers = encode(server, target, chunkBytes)
  touchMemory()
  const result = await requests(server, [{ method: 'PUT', path: target, headers, anonymous: true, file: encoded }], {})
  expectAll(result, [200])
  await expectContent(server, 'chunked.bin')
  await ask(server, 'DELETE', target, { expected: [204] })
  return { ...result, value: megabytesPerSecond(result) }
}

/** @type {import('./index.mjs').Workload} */
export const s3Chunked = {
  name: 's3-chunked1g',
  speaks: 's3',
  documents: ['1g.bin'],
  rows: [
    { name: 's3-chunked1g', title: 'PUT 1 GiB in signed chunks of 64 KiB', unit: 'MB/s' },
    { name: 's3-chunked1g-1m', title: 'PUT 1 GiB in signed chunks of 1 MiB', unit: 'MB/s' },
    { name: 's3-chunked-sha', title: 'that in chunks of 1 MiB : SHA-256 alone', unit: 'part of the speed' },
    {
      name: 's3-chunked-both',
      title: 'that in chunks of 1 MiB : SHA-256 and MD5 (the ETag)',
      unit: 'part of the speed',
    },
  ],
  async run({ server }) {
    await makeBucket(server)
    try {
      const small = await chunked(server, 2 ** 16)
      const large = await chunked(server, 2 ** 20)
      return {
        's3-chunked1g': small,
        's3-chunked1g-1m': large,
        's3-chunked-sha': { value: large.value / hashSpeed(server, 'sha256') },
        's3-chunked-both': { value: large.value / hashSpeed(server, 'sha256', 'md5') },
      }
    } finally {
      rmSync(encoded, { force: true })
    }
  },
}

const part = { bytes: 2 ** 24, count: size / 2 ** 24, connections: 4 }
const big = 'multi.bin'

async function uploadParts(server) {
  const begin = await ask(server, 'POST', pathOf(big, { uploads: '' }))
  const uploadId = /<UploadId>([^<]+)<\/UploadId>/.exec(begin.body.toString())?.[1] ?? ''
  const steps = Array.from({ length: part.count }, (_, index) =>
    signedStep(server, 'PUT', pathOf(big, { partNumber: String(index + 1), uploadId }), {
      file: onDisk(source),
      piece: { from: index * part.bytes, length: part.bytes },
    }),
  )
  const result = await requests(server, steps, { connections: part.connections, cycles: part.count, each: true })
  expectAll(result, [200])
  const listed = (await ask(server, 'GET', pathOf(big, { uploadId }))).body.toString()
  const etags = [...listed.matchAll(/<ETag>([^<]+)<\/ETag>/g)].map(([, etag]) => etag)
  if (etags.length !== part.count) throw new Wrong(`${etags.length} parts listed`)
  const parts = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
  const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
  const done = await ask(server, 'POST', pathOf(big, { uploadId }), { body })
  if (!done.body.toString().includes('<CompleteMultipartUploadResult'))
    throw new Wrong(done.body.toString().slice(0, 200))
  return { result, completing: done.milliseconds }
}

/** @type {import('./index.mjs').Workload} */
export const s3Multi1g = {
  name: 's3-multi1g',
  speaks: 's3',
  documents: ['1g.bin'],
  rows: [
    { name: 's3-multi1g', title: 'multipart upload of 1 GiB, 64 parts of 16 MiB, 4 connections', unit: 'MB/s' },
    { name: 's3-complete', title: 'CompleteMultipartUpload of it', unit: 'ms', lower: true },
  ],
  async run({ server }) {
    await makeBucket(server)
    touchMemory()
    warm()
    const { result, completing } = await uploadParts(server)
    await expectContent(server, big)
    const seconds = result.seconds + completing / 1000
    return {
      's3-multi1g': { ...result, value: megabytesPerSecond({ seconds }) },
      's3-complete': { value: completing },
    }
  },
}

async function download(server, step) {
  const result = await requests(server, [step], {})
  expectAll(result, [200])
  if (result.bytes !== size) throw new Wrong(`${result.bytes} bytes`)
  return result
}

/** @type {import('./index.mjs').Workload} */
export const s3Get1g = {
  name: 's3-get1g',
  speaks: 's3',
  documents: ['1g.bin'],
  rows: [
    { name: 's3-get1g', title: 'GET 1 GiB, 1 connection', unit: 'MB/s' },
    {
      name: 's3-get1g-http',
      title: 'GET 1 GiB : the same over HTTP',
      unit: 'part of the speed',
      goals: [{ atLeast: 0.8, peer: 'postern-s3' }],
    },
  ],
  async run({ server }) {
    await makeBucket(server)
    await uploadParts(server)
    await expectContent(server, big)
    const speeds = { s3: [], http: [] }
    let last
    for (let turn = 0; turn < 3; turn++) {
      last = await download(server, signedStep(server, 'GET', pathOf(big)))
      speeds.s3.push(megabytesPerSecond(last))
      if (await overHttp(server)) {
        speeds.http.push(megabytesPerSecond(await download(server, { method: 'GET', path: pathOf(big) })))
      }
    }
    const best = (all) => all.sort((a, b) => a - b)[1]
    const part = speeds.http.length > 0 ? { value: best(speeds.s3) / best(speeds.http) } : { refused: 'S3 only' }
    return { 's3-get1g': { ...last, value: best(speeds.s3) }, 's3-get1g-http': part }
  },
}

const overHttp = async (server) => (await send(server, 'HEAD', pathOf(big))).status === 200
