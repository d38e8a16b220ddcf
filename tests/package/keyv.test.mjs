// keyv.test.mjs: @keyv/test-suite over varve/keyv, as installed in the project VARVE_PROJECT. A store instance has one
// namespace, so each Keyv gets its own.
import { createRequire } from 'node:module'
import { join } from 'node:path'

import keyvTestSuite from '@keyv/test-suite'
import Keyv from 'keyv'
import * as vitest from 'vitest'

const { resolve } = createRequire(join(process.env.VARVE_PROJECT, 'package.json'))
const { Database } = await import(resolve('varve'))
const { KeyvVarve } = await import(resolve('varve/keyv'))

const db = await Database.open(':memory:')
keyvTestSuite(vitest, Keyv, () => new KeyvVarve(db))
