import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { user } from '../lib/http.mjs'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const description = new URL('../../package.json', import.meta.url)

/**
 * This checkout, as built: access rules, locks, properties, log lines and all.
 * @param {'fast' | 'full'} durability @param {Partial<import('./index.mjs').Peer> & { options?: string[] }} [more]
 * @returns {import('./index.mjs').Peer}
 */
function postern(durability, { options = [], ...more } = {}) {
  return {
    packages: [],
    needs: [program, fileURLToPath(new URL('../../dist/program/main.js', import.meta.url))],
    version: () => JSON.parse(readFileSync(description, 'utf8')).version,
    environment: { POSTERN_ADMIN_PASSWORD: user.password },
    command: ({ port, root, state, profiles, configuration }) => [
      process.execPath,
      ...(profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]),
      ...[program, 'serve', root, '--listen', `127.0.0.1:${port}`, '--state', state, '--durability', durability],
      ...(more.configuration === undefined ? [] : ['--config', configuration]),
      ...options,
    ],
    ...more,
  }
}

export const posternFast = postern('fast')
/** Durability matters where files are written, so nothing else is measured again. */
export const posternFull = postern('full', { only: ['put1k', 'put1g'] })
/** Two workers need both cores: for runs with --unpinned. */
export const posternTwoWorkers = postern('fast', { options: ['--workers', '2'] })
/**
 * With keys, with callers without a login, and behind a proxy that it trusts: whoever says so comes from somewhere else.
 * Loads of one client are no floods here.
 */
export const posternKnown = postern('fast', {
  only: ['key1k', 'login1k', 'flood'],
  ownKeys: true,
  configuration: ({ keys }) => `
identity: [catalog, { putfs-keys: { file: ${keys} } }]
anonymous: { grants: ["r:/data/**"] }
trustedProxies: [127.0.0.1]
rateLimits: { address: { requestsPerSecond: 0 }, identity: { requestsPerSecond: 0 } }
`,
})

/** With a key of its S3 API, as an administrator issues one. @param {import('./index.mjs').Start} start */
async function keyFor({ state }) {
  const grant = ['--grant', 'rw:/**', '--json']
  const args = [program, 's3-key', 'issue', 'bench', ...grant, '--state', state]
  const made = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
  return { id: made.accessKeyId, secret: made.secretAccessKey }
}

export const posternS3 = postern('fast', { speaks: 's3', keyFor })
export const posternS3Full = postern('full', { speaks: 's3', keyFor, only: ['s3-put1k', 's3-chunked1g', 's3-multi1g'] })
