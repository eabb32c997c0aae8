import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import { parseS3Url, shownS3Url } from './settings.js'

const secret = 'wJalrXUtnFEMI/K7MDENG'
const withKey = `access_key_id=AKIA&secret_access_key=${encodeURIComponent(secret)}`

function problem(text: string): string {
  try {
    parseS3Url(text)
  } catch (error) {
    if (error instanceof Failure) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'taken'
}

describe('an S3 location', () => {
  it.each([
    ['', 'written s3://'],
    ['s3://', 'written s3://'],
    ['s3:///prefix', 'written s3://'],
    ['http://bucket', 'written s3://'],
    ['s3://b/x#y', 'written s3://'],
    ['s3://a', 'cannot be the name of a bucket'],
    ['s3://user:pass@bucket/?region=us-east-1', 'cannot be the name of a bucket'],
    ['s3://..%2F/?region=us-east-1', 'cannot be the name of a bucket'],
    ['s3://bucket', 'region of the bucket is not known'],
    ['s3://bucket?region=eu west', 'cannot be a region'],
    ['s3://bucket?region=evil.com/', 'cannot be a region'],
    ['s3://bucket/a//b?region=us-east-1', 'empty segment'],
    ['s3://bucket/a/../b?region=us-east-1', 'empty segment'],
    ['s3://bucket/a/%2e%2e/b?region=us-east-1', 'empty segment'],
    ['s3://bucket/%zz?region=us-east-1', 'not encoded as a URL'],
    ['s3://bucket?region=us-east-1&region=eu-west-1', 'region stands twice'],
    ['s3://bucket?region=us-east-1&aws_region=eu-west-1', 'region stands twice'],
    ['s3://bucket?endpoint=ftp://x', 'endpoint of an S3 location is written'],
    ['s3://bucket?endpoint=localhost:9000', 'endpoint of an S3 location is written'],
    ['s3://bucket?endpoint=http://u:p@h', 'nothing before or behind'],
    ['s3://bucket?endpoint=http://h?x=y', 'nothing before or behind'],
    ['s3://bucket?region=us-east-1&enable_virtual_host_style=maybe', 'enable_virtual_host_style of an S3 location is'],
    ['s3://bucket?region=us-east-1&access_key_id=a', 'only one of'],
    ['s3://bucket?region=us-east-1&session_token=a', 'no access_key_id'],
    ['s3://bucket?region=us-east-1&external_id=a', 'no role_arn'],
    ['s3://bucket?region=us-east-1&server_side_encryption=ROT13', 'AES256, aws:kms'],
    ['s3://bucket?region=us-east-1&server_side_encryption=AES256&aws_sse_kms_key_id=k', 'KMS key'],
    ['s3://bucket?region=us-east-1&Region=x', 'no option Region. Is region meant?'],
    ['s3://bucket?region=us-east-1&storage_class=x', 'no option storage_class. Is default_storage_class meant?'],
    ['s3://bucket?region=us-east-1&virtualHostStyle=x', 'Is enable_virtual_host_style meant?'],
    ['s3://bucket?region=us-east-1&colour=x', 'no option colour. It may have: endpoint,'],
  ])('is refused: %s', (text, message) => {
    expect(problem(text)).toMatch(/^invalid: /)
    expect(problem(text)).toContain(message)
  })

  it('shows no secret, whatever is wrong with it', () => {
    const wrong = ['&colour=x', '&region=', '&session_token', '&endpoint=x', `&${encodeURIComponent(secret)}=x`]
    for (const more of wrong) expect(problem(`s3://bucket/p?${withKey}${more}`)).not.toContain(secret)
    const settings = parseS3Url(
      `s3://bucket/p?${withKey}&region=us-east-1&session_token=${encodeURIComponent(secret)}x`,
    )
    expect(shownS3Url(settings)).toBe('s3://bucket/p?region=us-east-1')
  })

  it('never fails in another way', () => {
    fc.assert(fc.property(fc.string(), (text) => void problem(`s3://bucket/${text}`)))
    fc.assert(fc.property(fc.string(), (text) => void problem(`s3://bucket?region=us-east-1&${text}`)))
  })

  it('is Amazon of a region, the bucket in the host name', () => {
    expect(parseS3Url('s3://my-bucket/some/prefix/?region=eu-west-1')).toEqual({
      bucket: 'my-bucket',
      prefix: 'some/prefix/',
      region: 'eu-west-1',
      endpoint: new URL('https://s3.eu-west-1.amazonaws.com'),
      isAws: true,
      pathStyle: false,
      credentials: {},
    })
    expect(parseS3Url('s3://bucket', { region: 'cn-north-1' }).endpoint.host).toBe('s3.cn-north-1.amazonaws.com.cn')
    expect(parseS3Url('s3://my.bucket?region=us-east-1').pathStyle).toBe(true)
    expect(parseS3Url('s3://bucket?endpoint=https://s3.eu-central-1.amazonaws.com')).toMatchObject({
      region: 'eu-central-1',
      isAws: true,
      pathStyle: false,
    })
  })

  it('is another service at its endpoint, the bucket in the path', () => {
    const settings = parseS3Url('s3://bucket?endpoint=http://127.0.0.1:9000')
    expect(settings).toMatchObject({ region: 'us-east-1', isAws: false, pathStyle: true, prefix: '' })
    expect(shownS3Url(settings)).toBe('s3://bucket?endpoint=http://127.0.0.1:9000&region=us-east-1')
    expect(parseS3Url('s3://bucket', { endpoint: 'http://127.0.0.1:9000', region: 'x' }).region).toBe('x')
    expect(parseS3Url('s3://bucket?endpoint=https://h&virtual_hosted_style_request=true').pathStyle).toBe(false)
    expect(parseS3Url('s3://bucket?region=us-east-1&aws_virtual_hosted_style_request=false').pathStyle).toBe(true)
  })

  it('takes what users of Vaultwarden write', () => {
    const settings = parseS3Url(
      `s3://vault/data?region=us-east-1&default_storage_class=INTELLIGENT_TIERING&enable_virtual_host_style=true&${withKey}` +
        '&role_arn=arn:aws:iam::1:role/x&external_id=e&role_session_name=n&disable_config_load=true&disable_ec2_metadata=1',
    )
    expect(settings.storageClass).toBe('INTELLIGENT_TIERING')
    expect(settings.credentials).toEqual({
      accessKeyId: 'AKIA',
      secretAccessKey: secret,
      roleArn: 'arn:aws:iam::1:role/x',
      externalId: 'e',
      roleSessionName: 'n',
      disableConfigLoad: true,
      disableEc2Metadata: true,
    })
    expect(parseS3Url('s3://vault?region=r&default_storage_class=')).not.toHaveProperty('storageClass')
    expect(parseS3Url('s3://vault?region=r&allow_anonymous').credentials).toEqual({ anonymous: true })
    expect(parseS3Url('s3://vault?region=r&aws_sse_kms_key_id=k').encryption).toEqual({
      algorithm: 'aws:kms',
      kmsKeyId: 'k',
    })
    expect(parseS3Url(`s3://vault?region=r&access_key_id=a&secret_access_key=a+b/c=`).credentials.secretAccessKey).toBe(
      'a+b/c=',
    )
  })

  it('decodes its prefix', () => {
    expect(parseS3Url('s3://bucket//a%20b/%C3%BC/?region=r').prefix).toBe('a b/ü/')
  })
})
