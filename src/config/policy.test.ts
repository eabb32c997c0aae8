import { describe, expect, it } from 'vitest'
import { loadConfig } from './load.js'
import { policiesOf } from './policy.js'
import type { NeededPolicies } from './policy.js'
import type { Statement } from './policy-statements.js'

interface Given {
  readonly environment?: Readonly<Record<string, string>>
  readonly account?: string
  readonly migrate?: boolean
}

/** The policies of a configuration, given as flags are. */
function policies(settings: Readonly<Record<string, unknown>>, given: Given = {}): NeededPolicies {
  const { environment = {}, migrate = false, account = '123456789012' } = given
  const shared = settings['catalog'] === undefined ? {} : { secret: { env: 'SECRET' } }
  const flags = Object.fromEntries(
    Object.entries({ ...shared, ...settings }).map(([key, value]) => [key, { flag: key, value }]),
  )
  const config = loadConfig({ directory: '/nowhere', file: undefined, environment, flags })
  return policiesOf(config, { environment, migrate, account })
}

function statements(settings: Readonly<Record<string, unknown>>, given?: Given): readonly Statement[] {
  const all = policies(settings, given).policies
  expect(all.map(({ holder }) => holder.kind)).toEqual(['process'])
  return all[0]?.document.Statement ?? []
}

const s3 = (url: string, more: object = {}): Readonly<Record<string, unknown>> => ({
  mounts: [{ path: '/', s3: url, ...more }],
})

it('needs nothing at AWS for files and state on a disk, or for PostgreSQL', () => {
  expect(policies({})).toEqual({ policies: [], notes: [] })
  expect(policies({ catalog: { postgres: 'postgres://postern@db.example.org/postern' } }).policies).toEqual([])
})

describe('the catalog', () => {
  it('in a table: six operations on that table, none that lists or makes tables', () => {
    const catalog = { dynamodb: { table: 'postern', region: 'eu-west-1' } }
    expect(statements({ catalog })).toEqual([
      {
        Sid: 'Catalog',
        Effect: 'Allow',
        Action: ['GetItem', 'BatchGetItem', 'PutItem', 'UpdateItem', 'DeleteItem', 'Query'].map((each) => `dynamodb:${each}`), // prettier-ignore
        Resource: 'arn:aws:dynamodb:eu-west-1:123456789012:table/postern',
      },
    ])
    expect(statements({ catalog }, { migrate: true })).toEqual([
      {
        Sid: 'MakeCatalog',
        Effect: 'Allow',
        Action: ['DescribeTable', 'CreateTable', 'DescribeTimeToLive', 'UpdateTimeToLive'].map((each) => `dynamodb:${each}`), // prettier-ignore
        Resource: 'arn:aws:dynamodb:eu-west-1:123456789012:table/postern',
      },
    ])
  })

  it.each([
    ['cn-north-1', 'arn:aws-cn:dynamodb:cn-north-1:'],
    ['us-gov-west-1', 'arn:aws-us-gov:dynamodb:us-gov-west-1:'],
  ])('knows the partition of %s', (region, arn) => {
    const [statement] = statements({ catalog: { dynamodb: { table: 'postern', region } } })
    expect(statement?.Resource).toBe(`${arn}123456789012:table/postern`)
  })

  it('has the region of the environment, and any where nobody names one', () => {
    const catalog = { dynamodb: { table: 'postern' } }
    const environment = { AWS_REGION: 'eu-west-3' }
    expect(statements({ catalog }, { environment })[0]?.Resource).toMatch(/^arn:aws:dynamodb:eu-west-3:/)
    expect(statements({ catalog })[0]?.Resource).toMatch(/^arn:aws:dynamodb:\*:/)
  })

  it('elsewhere needs nothing', () => {
    const catalog = { dynamodb: { table: 'postern', region: 'eu-west-1', endpoint: 'http://127.0.0.1:8000' } }
    expect(policies({ catalog })).toEqual({ policies: [], notes: ['The table of the catalog is not at AWS.'] })
    const vpc = { dynamodb: { ...catalog.dynamodb, endpoint: 'https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com' } }
    expect(statements({ catalog: vpc })).toHaveLength(1)
    const evil = { dynamodb: { ...catalog.dynamodb, endpoint: 'https://notamazonaws.com' } }
    expect(policies({ catalog: evil }).policies).toEqual([])
  })

  it('in Aurora DSQL: one action on one cluster, and advice where it is that of the administrator', () => {
    const at = 'dsql://abcdefghijklmnopqrstuvwxyz.dsql.eu-west-1.on.aws'
    const Resource = 'arn:aws:dsql:eu-west-1:123456789012:cluster/abcdefghijklmnopqrstuvwxyz'
    const admin = policies({ catalog: { postgres: at } })
    expect(admin.policies[0]?.document.Statement).toEqual([
      { Sid: 'Catalog', Effect: 'Allow', Action: ['dsql:DbConnectAdmin'], Resource },
    ])
    expect(admin.notes).toEqual([expect.stringContaining('AWS IAM GRANT')])
    expect(policies({ catalog: { postgres: `${at}?user=postern` } })).toEqual({
      policies: [
        {
          holder: { kind: 'process' },
          document: {
            Version: '2012-10-17',
            Statement: [{ Sid: 'Catalog', Effect: 'Allow', Action: ['dsql:DbConnect'], Resource }],
          },
        },
      ],
      notes: [],
    })
  })
})

describe('mail', () => {
  const from = 'Files <files@example.org>'

  it('by SES: to send, from that address alone', () => {
    expect(statements({ mail: { from, ses: { region: 'eu-west-1' } } })).toEqual([
      {
        Sid: 'Mail',
        Effect: 'Allow',
        Action: ['ses:SendEmail'],
        Resource: 'arn:aws:ses:eu-west-1:123456789012:identity/*',
        Condition: { StringEquals: { 'ses:FromAddress': ['files@example.org'] } },
      },
    ])
    expect(policies({ mail: { from, ses: {} } }, { migrate: true }).policies).toEqual([])
  })

  it('by SMTP, or by somebody who speaks like SES, needs nothing', () => {
    expect(policies({ mail: { from, smtp: 'smtps://files:pw@mail.example.org' } })).toEqual({ policies: [], notes: [] })
    const elsewhere = { from, ses: { endpoint: 'http://127.0.0.1:9000' } }
    expect(policies({ mail: elsewhere })).toEqual({ policies: [], notes: ['Mails are not sent by AWS.'] })
  })
})

describe('a mount on S3', () => {
  it('has its objects, the listing of its prefix and the list of uploads', () => {
    expect(statements(s3('s3://files/team/a?region=eu-west-1'))).toEqual([
      {
        Sid: 'Objects',
        Effect: 'Allow',
        Action: [
          's3:GetObject',
          's3:PutObject',
          's3:DeleteObject',
          's3:AbortMultipartUpload',
          's3:ListMultipartUploadParts',
        ],
        Resource: 'arn:aws:s3:::files/team/a/*',
      },
      {
        Sid: 'List',
        Effect: 'Allow',
        Action: ['s3:ListBucket'],
        Resource: 'arn:aws:s3:::files',
        Condition: { StringLike: { 's3:prefix': ['team/a/*'] } },
      },
      { Sid: 'Uploads', Effect: 'Allow', Action: ['s3:ListBucketMultipartUploads'], Resource: 'arn:aws:s3:::files' },
    ])
    expect(statements(s3('s3://files?region=eu-west-1'))[1]).not.toHaveProperty('Condition')
  })

  it('that is read-only may not write', () => {
    const actions = statements(s3('s3://files?region=eu-west-1', { readOnly: true })).flatMap(({ Action }) => Action)
    expect(actions).toEqual(['s3:GetObject', 's3:ListBucket'])
  })

  it('with a strange prefix is not allowed more than that prefix', () => {
    const found = statements(s3('s3://files/a*b/%3F/$%7Baws:username%7D?region=eu-west-1'))
    const prefix = 'a${*}b/${?}/${$}{aws:username}/*'
    expect(found[0]?.Resource).toBe(`arn:aws:s3:::files/${prefix}`)
    expect(found[1]?.Condition).toEqual({ StringLike: { 's3:prefix': [prefix] } })
  })

  it('by a role: that role has the objects, and the process may take it on', () => {
    const role = 'arn:aws:iam::123456789012:role/files'
    const { policies: all, notes } = policies(s3(`s3://files?region=eu-west-1&role_arn=${role}`))
    expect(all.map(({ holder, document }) => [holder, document.Statement.map(({ Sid }) => Sid)])).toEqual([
      [{ kind: 'role', id: role }, ['Objects', 'List', 'Uploads']],
      [{ kind: 'process' }, ['TakeRole']],
    ])
    expect(all[1]?.document.Statement[0]?.Resource).toBe(role)
    expect(notes).toHaveLength(1)
  })

  it('with keys of its own: the process has nothing, and the secret is not shown', () => {
    const found = policies(s3('s3://files?region=eu-west-1&access_key_id=AKIAEXAMPLE&secret_access_key=hidden'))
    expect(found.policies.map(({ holder }) => holder)).toEqual([{ kind: 'key', id: 'AKIAEXAMPLE' }])
    expect(JSON.stringify(found)).not.toContain('hidden')
    expect(policies(s3('s3://files?region=eu-west-1&allow_anonymous=true')).policies).toEqual([])
  })

  it('elsewhere needs nothing', () => {
    expect(policies(s3('s3://files?endpoint=http://127.0.0.1:9000'))).toEqual({
      policies: [],
      notes: ['The bucket files is not at AWS.'],
    })
  })

  it('under a key of KMS may use that key', () => {
    const url = 's3://files?region=eu-west-1&server_side_encryption=aws:kms&server_side_encryption_aws_kms_key_id='
    const arn = 'arn:aws:kms:eu-west-1:123456789012:key/0a1b'
    for (const key of [arn, '0a1b'])
      expect(statements(s3(url + key)).at(-1)).toEqual({
        Sid: 'ObjectKey',
        Effect: 'Allow',
        Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
        Resource: arn,
      })
    expect(statements(s3(url + '0a1b', { readOnly: true })).at(-1)?.Action).toEqual(['kms:Decrypt'])
    const aliased = policies(s3(url + 'alias/files'))
    expect(JSON.stringify(aliased.policies)).not.toContain('kms:')
    expect(aliased.notes).toEqual([expect.stringContaining('alias/files')])
  })

  it('beside another has names of its own in the policy', () => {
    const mounts = ['a', 'b', 'a'].map((bucket, at) => ({ path: `/${at}`, s3: `s3://bucket-${bucket}?region=eu-west-1` })) // prettier-ignore
    const sids = statements({ mounts }).map(({ Sid }) => Sid)
    expect(sids).toEqual(['Objects', 'List', 'Uploads', 'Objects2', 'List2', 'Uploads2'])
    expect(sids.every((sid) => /^[A-Za-z0-9]+$/.test(sid))).toBe(true)
  })
})

describe('a users table', () => {
  const source = { dynamodb: { table: 'basicAuthUsers', realm: 'dav', region: 'eu-west-1' } }

  it('is read in one realm, and written only where hashes are made stronger', () => {
    const expected = {
      Sid: 'Users',
      Effect: 'Allow',
      Action: ['dynamodb:GetItem'],
      Resource: 'arn:aws:dynamodb:eu-west-1:123456789012:table/basicAuthUsers',
      Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['dav'] } },
    }
    expect(statements({ identity: ['catalog', source] })).toEqual([expected])
    const rehash = { dynamodb: { ...source.dynamodb, rehash: true } }
    expect(statements({ identity: [rehash] })[0]?.Action).toEqual(['dynamodb:GetItem', 'dynamodb:UpdateItem'])
  })

  it('of a realm that looks like a variable is that realm alone', () => {
    const odd = { dynamodb: { ...source.dynamodb, realm: '${aws:username}' } }
    expect(statements({ identity: [odd] })[0]?.Condition).toEqual({
      'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['${$}{aws:username}'] },
    })
  })

  it('elsewhere needs nothing', () => {
    const local = { dynamodb: { ...source.dynamodb, endpoint: 'http://127.0.0.1:8000', name: 'staff' } }
    expect(policies({ identity: [local] })).toEqual({ policies: [], notes: ['staff is not asked at AWS.'] })
  })
})

it('lets the secret be decrypted, and says that the key is still to be named', () => {
  const found = policies({ secret: { kms: { ciphertext: 'AAAA', region: 'eu-west-1' } } })
  expect(found.policies[0]?.document.Statement).toEqual([
    { Sid: 'Secret', Effect: 'Allow', Action: ['kms:Decrypt'], Resource: 'arn:aws:kms:eu-west-1:123456789012:key/*' },
  ])
  expect(found.notes).toHaveLength(1)
})
