import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import type { S3Key, S3Site } from './s3-site.js'

/** The client of the AWS SDK for JavaScript with its default settings, at the site with or without TLS. */
export function sdkClient(
  site: S3Site,
  scheme: 'http' | 'https' = 'http',
  { key = site.key, ...more }: S3ClientConfig & { readonly key?: S3Key } = {},
): S3Client {
  const trust = scheme === 'https' && {
    requestHandler: { httpsAgent: new Agent({ ca: readFileSync(site.certificate) }) },
  }
  return sdkClientOf(site[scheme], key, { ...trust, ...more })
}

/** The same at any endpoint. */
export function sdkClientOf(
  endpoint: string,
  { accessKeyId, secretAccessKey }: S3Key,
  more: S3ClientConfig = {},
): S3Client {
  return new S3Client({
    endpoint,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId, secretAccessKey },
    // A second try would hide what fails.
    maxAttempts: 1,
    ...more,
  })
}

/** The error code and status that the SDK gives for a call, which must fail. */
export async function refusal(call: Promise<unknown>): Promise<readonly [code: string, status: number | undefined]> {
  try {
    await call
  } catch (error) {
    if (error instanceof S3ServiceException) return [error.name, error.$metadata.httpStatusCode]
    throw error
  }
  throw new Error('the call has succeeded')
}
