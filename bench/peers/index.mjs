import { apache } from './apache.mjs'
import { lighttpd } from './lighttpd.mjs'
import { nginx } from './nginx.mjs'
import { posternFast, posternFull, posternKnown, posternS3, posternS3Full, posternTwoWorkers } from './postern.mjs'
import { radosgw } from './radosgw.mjs'
import { rclone } from './rclone.mjs'

/**
 * @typedef {object} Start what one start of a peer is given
 * @property {number} port to listen on at 127.0.0.1
 * @property {string} root the directory to serve
 * @property {string} state an empty folder of its own
 * @property {string} log the file for complaints
 * @property {string} passwords a file in the format of htpasswd
 * @property {string} keys a `keys.conf` of PutFS with one key
 * @property {boolean} pinned whether it has one core only
 * @property {string} [profiles] where to write a CPU profile, if it can
 *
 * @typedef {object} Peer
 * @property {string[]} packages of Debian that it comes with
 * @property {string[]} needs programs and files without which it cannot run
 * @property {string[] | (() => string)} version how to learn it
 * @property {(start: Start & { configuration: string }) => string[]} command runs it in the foreground
 * @property {(start: Start) => string} [configuration] the text of its configuration file
 * @property {Record<string, string>} [environment]
 * @property {true} [ownKeys] nobody else may read the keys
 * @property {'s3'} [speaks] what the workloads must speak that it takes part in; without: WebDAV
 * @property {false} [servesRoot] it keeps its files elsewhere
 * @property {number} [patience] milliseconds that its start may take; without: 20,000
 * @property {(start: Start & { configuration: string }) => Promise<import('../lib/s3-sign.mjs').Key>} [keyFor] an S3 key
 *   that may do everything, once it runs
 * @property {string[]} [only] the workloads it takes part in; without: all
 */

/** @type {Record<string, Peer>} */
export const peers = {
  apache,
  nginx,
  lighttpd,
  rclone,
  postern: posternFast,
  'postern-full': posternFull,
  'postern-known': posternKnown,
  'postern-2w': posternTwoWorkers,
  radosgw,
  'postern-s3': posternS3,
  'postern-s3-full': posternS3Full,
}
