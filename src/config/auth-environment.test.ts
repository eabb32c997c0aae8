import { expect, it } from 'vitest'
import { authEnvironment } from './auth-environment.js'

const environment = {
  PATH: '/usr/bin',
  NODE_OPTIONS: '--inspect',
  UV_USE_IO_URING: '1',
  LD_PRELOAD: '/tmp/x.so',
  POSTERN_ADMIN_PASSWORD: 'secret',
  FILES_SECRET: 'secret',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_PROFILE: undefined,
  PGPASSWORD: 'secret',
  https_proxy: 'http://proxy',
}

it('nothing goes to the process that knows all callers but what its sources may need', () => {
  const needed = { AWS_ACCESS_KEY_ID: 'id', PGPASSWORD: 'secret', https_proxy: 'http://proxy' }
  expect(authEnvironment({}, environment)).toEqual(needed)
  expect(authEnvironment({ secret: { file: '/etc/secret' } }, environment)).toEqual(needed)
  expect(authEnvironment({ secret: { env: 'FILES_SECRET' } }, environment)).toEqual({
    ...needed,
    FILES_SECRET: 'secret',
  })
})
