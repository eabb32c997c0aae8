import { dynamodbDirectory } from '../../src/auth/directory/dynamodb.js'
import { DynamodbTable } from '../../src/auth/directory/dynamodb-table.js'
import { createPasswordHasher } from '../../src/auth/password-hash.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { SourceChanges } from '../../src/catalog/source-changes.js'
import { ManualClock } from '../../src/core/clock.js'
import { realm, sha3, startTable, tableName } from '../users-table.js'
import { directoryContract } from './directory.js'

for (const [form, sortKey] of [
  ['SHA3-256', 'user'],
  ['salted SHA3-256', 'username'],
  ['argon2id', 'user'],
] as const)
  directoryContract({
    name: `dynamodb, ${form}, ${sortKey}`,
    kinds: ['password'],
    async open() {
      const clock = new ManualClock()
      const catalog = openMemoryCatalog({ clock })
      const local = await startTable(sortKey)
      const { endpoint } = local
      const table = new DynamodbTable({ table: tableName, realm, sortKey, region: 'eu-west-1', endpoint })
      const hasher = createPasswordHasher()
      const changes = new SourceChanges(catalog, clock, 'here')
      const grants = ['rw:/**']
      const hashed = async (secret: string) =>
        form === 'SHA3-256'
          ? { hash: sha3(secret) }
          : form === 'argon2id'
            ? { hash: await hasher.hash(secret) }
            : { hash: sha3(secret, 'pépper'), salt: 'pépper' }
      return {
        directory: dynamodbDirectory({
          name: 'dynamodb',
          table,
          hasher,
          changes,
          grants,
          scopeGrants: {},
          rehash: false,
          warn: () => undefined,
        }),
        async hold(_kind, name, secret) {
          await table.write(name, { password: await hashed(secret) }, 'new')
          return { right: { kind: 'password', name, password: secret }, name }
        },
        async change({ name }) {
          await table.write(name, { password: await hashed('another') }, 'existing')
          await changes.tell(name)
          return { kind: 'password', name, password: 'another' }
        },
        async remove({ name }) {
          await table.remove(name)
          await changes.tell(name)
        },
        breakDown: () => local.stop(),
        async close() {
          table.close()
          await local.stop()
        },
      }
    },
    cannot: { disable: 'the table has no word for it' },
  })
