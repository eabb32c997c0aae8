import { describe, expect, it } from 'vitest'
import { openSite } from '../../../../test/http-exchange.js'
import type { Site } from '../../../../test/http-exchange.js'
import { systemClock } from '../../../core/clock.js'
import { toPath } from '../../../core/path.js'
import { configurations } from './bucket-configuration.js'
import { createS3 } from '../index.js'

async function siteOf(region = 'us-east-1'): Promise<Site> {
  const site = openSite(createS3({ hosts: [], buckets: new Map(), basePath: '', region, clock: systemClock }))
  await site.store.makeDirectory(toPath('/b'))
  return site
}

describe('the configuration of a bucket', () => {
  it.each(['acl', 'cors', 'location', 'versioning', ...configurations])(
    'is not told of a missing one: ?%s',
    async (what) => {
      const site = await siteOf()
      const missing = await site.ask('GET', `/missing?${what}`)
      expect([missing.status, missing.text.includes('<Code>NoSuchBucket</Code>')]).toEqual([404, true])
      const hidden = await site.ask('GET', `/b?${what}`, { grants: ['rw:/other/**'] })
      expect([hidden.status, hidden.text.includes('<Code>AccessDenied</Code>')]).toEqual([403, true])
    },
  )

  it.each([
    ['encryption', 'ServerSideEncryptionConfigurationNotFoundError'],
    ['lifecycle', 'NoSuchLifecycleConfiguration'],
    ['object-lock', 'ObjectLockConfigurationNotFoundError'],
    ['ownershipControls', 'OwnershipControlsNotFoundError'],
    ['policy', 'NoSuchBucketPolicy'],
    ['policyStatus', 'NoSuchBucketPolicy'],
    ['publicAccessBlock', 'NoSuchPublicAccessBlockConfiguration'],
    ['replication', 'ReplicationConfigurationNotFoundError'],
    ['tagging', 'NoSuchTagSet'],
    ['website', 'NoSuchWebsiteConfiguration'],
    ['cors', 'NoSuchCORSConfiguration'],
    ['analytics&id=1', 'NoSuchConfiguration'],
    ['metrics&id=1', 'NoSuchConfiguration'],
    ['inventory&id=1', 'NoSuchConfiguration'],
    ['intelligent-tiering&id=1', 'NoSuchConfiguration'],
  ])('has no %s: %s', async (what, code) => {
    const answer = await (await siteOf()).ask('GET', `/b?${what}`)
    expect(answer.status).toBe(404)
    expect(answer.text).toContain(`<Code>${code}</Code>`)
  })

  it.each([
    ['GET', 'metadataTable'],
    ['GET', 'session'],
    ['PUT', 'versioning'],
    ['PUT', 'policy'],
    ['PUT', 'lifecycle'],
    ['PUT', 'tagging'],
    ['DELETE', 'policy'],
    ['HEAD', 'location'],
  ])('does not have %s ?%s', async (method, what) => {
    const answer = await (await siteOf()).ask(method, `/b?${what}`)
    expect(answer.status).toBe(501)
    if (method !== 'HEAD') expect(answer.text).toContain('<Code>NotImplemented</Code>')
  })

  it.each([
    [
      'versioning',
      '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></VersioningConfiguration>',
    ],
    ['accelerate', '<AccelerateConfiguration'],
    ['logging', '<BucketLoggingStatus'],
    ['notification', '<NotificationConfiguration'],
    ['requestPayment', '<Payer>BucketOwner</Payer>'],
    ['analytics', '<ListBucketAnalyticsConfigurationResult'],
    ['inventory', '<IsTruncated>false</IsTruncated>'],
    ['metrics', '<ListMetricsConfigurationsResult'],
    ['intelligent-tiering', '<IsTruncated>false</IsTruncated>'],
  ])('is what is true of every bucket: ?%s', async (what, text) => {
    const answer = await (await siteOf()).ask('GET', `/b?${what}`)
    expect(answer.status).toBe(200)
    expect(answer.text).toContain(text)
  })

  it('names the region, but the first of all by nothing', async () => {
    expect((await (await siteOf()).ask('GET', '/b?location')).text).toContain('></LocationConstraint>')
    expect((await (await siteOf('eu-central-1')).ask('GET', '/b?location')).text).toContain(
      '>eu-central-1</LocationConstraint>',
    )
  })
})

describe('the list of who may use a bucket', () => {
  const put = (site: Site, asked: Parameters<Site['ask']>[2]): ReturnType<Site['ask']> =>
    site.ask('PUT', '/b?acl', asked)

  it('cannot be changed', async () => {
    const site = await siteOf()
    const policy = (await site.ask('GET', '/b?acl')).text
    for (const asked of [
      { headers: { 'x-amz-acl': 'public-read' } },
      { headers: { 'x-amz-grant-read': 'uri="http://acs.amazonaws.com/groups/global/AllUsers"' } },
      {
        body: policy.replace(
          /<ID>[0-9a-f]{64}<\/ID>(?=<DisplayName>alice<\/DisplayName><\/Grantee>)/,
          '<ID>someone</ID>',
        ),
      },
      { body: policy.replace('FULL_CONTROL', 'READ') },
      { headers: { 'x-amz-acl': 'private', 'x-amz-grant-write': 'id=1' } },
    ]) {
      const answer = await put(site, asked)
      expect([answer.status, answer.text.includes('<Code>NotImplemented</Code>')]).toEqual([501, true])
    }
    for (const asked of [{}, { body: '<nonsense' }, { body: '<Other/>' }])
      expect((await put(site, asked)).status).toBe(400)
  })

  it('can be put in place as it is', async () => {
    const site = await siteOf()
    const read = await site.ask('GET', '/b?acl')
    expect(read.text).toContain('<Permission>FULL_CONTROL</Permission>')
    expect((await put(site, { body: read.text })).status).toBe(200)
    expect((await put(site, { headers: { 'x-amz-acl': 'private' } })).status).toBe(200)
  })
})
