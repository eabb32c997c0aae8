import type { Command } from 'commander'
import { addIssued } from './issued.js'

/** `postern s3-key …`. */
export function addS3Key(program: Command): void {
  addIssued(program, {
    kind: 's3-key',
    word: 'S3 key',
    verb: 'issue',
    description: 'manage the access keys of S3 clients',
    json: ({ issued, secret }) => ({ accessKeyId: issued.id, secretAccessKey: secret }),
    lines: ({ issued, secret }) => [
      `An S3 key for ${issued.name}. The secret is shown only now:`,
      `  AWS_ACCESS_KEY_ID=${issued.id}`,
      `  AWS_SECRET_ACCESS_KEY=${secret}`,
    ],
    examples: `  postern s3-key issue backup --grant 'rw:/backup/**'
  postern s3-key rotate PSTN... --overlap 7d
  postern s3-key revoke PSTN...`,
  })
}
