import type { Config } from '../../config/load.js'
import { Failure } from '../../core/failure.js'

/** What stops a listener from opening, with what to do about it; any other error as it is. */
export function listenFailure(error: unknown, config: Config): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const place =
    'port' in error && 'address' in error
      ? `${String(error.address)}:${String(error.port)}`
      : config.listen.map(({ name }) => name).join(', ')
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `${place} is in use by another program. Stop that one, or name another address: --listen 127.0.0.1:0 picks a free port.`,
    EACCES: `${place} is not allowed for this user. Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); sockets need a writable directory.`,
    EADDRNOTAVAIL: `${place} is not an address of this machine. 0.0.0.0 listens on all of them.`,
    ENOTFOUND: `The host in --listen is not known. Give an address, such as 127.0.0.1:8080.`,
    ENOENT: `The directory of the socket ${place} is missing.`,
  }
  const reason = reasons[String(error.code)]
  return reason === undefined ? error : new Failure('unavailable', reason, { cause: error })
}
