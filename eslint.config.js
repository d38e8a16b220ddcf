// eslint.config.js: the rules of ESLint's own recommendation, and a few that catch mistakes in this code.

import js from '@eslint/js'

const shared = {
  console: 'readonly',
  performance: 'readonly',
  TextEncoder: 'readonly',
  TextDecoder: 'readonly',
  URL: 'readonly',
  Response: 'readonly',
  fetch: 'readonly',
  crypto: 'readonly',
  setTimeout: 'readonly',
  clearTimeout: 'readonly',
  setInterval: 'readonly',
  clearInterval: 'readonly',
  queueMicrotask: 'readonly',
  MessageChannel: 'readonly',
  WebAssembly: 'readonly',
  structuredClone: 'readonly',
  AbortController: 'readonly',
  ReadableStream: 'readonly',
  WritableStream: 'readonly',
  AbortSignal: 'readonly',
  TransformStream: 'readonly',
}

/** What pages and workers have besides. */
const web = Object.fromEntries(
  [
    ...['navigator', 'location', 'document', 'self', 'addEventListener', 'postMessage', 'Worker', 'WebSocket', 'Blob'],
    ...['URLSearchParams', 'DOMException', 'MessagePort', 'BroadcastChannel', 'indexedDB', 'IDBKeyRange', 'Event'],
    ...[
      'FileSystemSyncAccessHandle',
      'EventTarget',
      'CustomEvent',
      'close',
      'window',
      'requestAnimationFrame',
      'removeEventListener',
    ],
  ].map((name) => [name, 'readonly']),
)

/** What the playground page uses besides. */
const page = Object.fromEntries(
  [
    ...['localStorage', 'history', 'matchMedia', 'ResizeObserver', 'TransformStream', 'Element', 'HTMLElement'],
    ...['HTMLInputElement', 'HTMLButtonElement', 'HTMLTextAreaElement', 'HTMLFormElement', 'HTMLSelectElement'],
    ...['HTMLProgressElement'],
  ].map((name) => [name, 'readonly']),
)

export default [
  { ignores: ['build/', 'dist/', 'node_modules/', 'my_database/', '.cache/'] },
  js.configs.recommended,
  {
    files: ['**/*.js', '**/*.mjs', 'tools/check'],
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: 'module',
      globals: { ...shared, process: 'readonly', Buffer: 'readonly', setImmediate: 'readonly', gc: 'readonly' },
    },
    rules: {
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'prefer-const': 'error',
      'no-var': 'error',
      eqeqeq: 'error',
      'no-shadow': 'error',
      'no-throw-literal': 'error',
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs', globals: { ...shared, process: 'readonly', require: 'readonly' } },
  },
  {
    files: ['tests/package/programs/page.js'],
    languageOptions: { globals: { URLSearchParams: 'readonly', location: 'readonly', document: 'readonly' } },
  },
  {
    files: ['tests/browser/page/*.js'],
    languageOptions: { globals: { ...web, ...page, getComputedStyle: 'readonly' } },
  },
  {
    files: ['web/*.js'],
    languageOptions: { globals: { ...web, ...page, process: 'off', Buffer: 'off', setImmediate: 'off', gc: 'off' } },
  },
  {
    files: ['tests/browser/*.js', 'tests/browser/tabs/*.js'],
    languageOptions: { globals: web },
  },
  {
    files: ['tests/**', 'bench/**', 'tools/**'],
    rules: { 'max-lines-per-function': 'off' },
  },
  {
    // What runs in a page as well may use nothing of Node's.
    files: ['bindings/js/src/**/*.js', 'bindings/js/browser.js'],
    ignores: ['bindings/js/src/node_platform.js', 'bindings/js/src/host/node*.js'],
    languageOptions: { globals: { ...shared, ...web, process: 'off', Buffer: 'off', setImmediate: 'off' } },
    rules: { 'no-undef': 'error' },
  },
]
