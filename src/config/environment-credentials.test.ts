import { expect, it } from 'vitest'
import { environmentCredentials } from './environment-credentials.js'

const keys = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }

it('takes the keys of the environment, with their session', async () => {
  expect(await environmentCredentials(keys)?.current()).toEqual({ accessKeyId: 'id', secretAccessKey: 'secret' })
  expect(await environmentCredentials({ ...keys, AWS_SESSION_TOKEN: 'token' })?.current()).toEqual({
    accessKeyId: 'id',
    secretAccessKey: 'secret',
    sessionToken: 'token',
  })
})

it('leaves them alone where others are meant', () => {
  expect(environmentCredentials({})).toBeUndefined()
  expect(environmentCredentials({ AWS_ACCESS_KEY_ID: 'id' })).toBeUndefined()
  expect(environmentCredentials({ ...keys, AWS_SECRET_ACCESS_KEY: '' })).toBeUndefined()
  expect(environmentCredentials({ ...keys, AWS_PROFILE: 'work' })).toBeUndefined()
  for (const settings of [{ anonymous: true }, { accessKeyId: 'a' }, { roleArn: 'arn' }, { disableConfigLoad: true }])
    expect(environmentCredentials(keys, settings)).toBeUndefined()
})
