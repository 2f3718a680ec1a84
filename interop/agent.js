// Drives MQTT.js for the Python tests.
//
// Commands come on standard input and answers and events leave on standard output, one JSON object a line.
// A command names a client and carries a number; its answer carries the same number.
// Payloads and correlation data travel in base64.
'use strict'

const mqtt = require('mqtt')
const readline = require('node:readline')

// Not more messages than this wait for their acknowledgement at a time, and never more than the broker allows.
const WINDOW = 100

const PROTOCOLS = {
  '3.1': { protocolId: 'MQIsdp', protocolVersion: 3 },
  '3.1.1': { protocolId: 'MQTT', protocolVersion: 4 },
  '5': { protocolId: 'MQTT', protocolVersion: 5 }
}

const clients = new Map()

function say (object) {
  process.stdout.write(JSON.stringify(object) + '\n')
}

function base64 (bytes) {
  return Buffer.from(bytes).toString('base64')
}

function connected (client) {
  return new Promise((resolve, reject) => {
    client.once('connect', (connack) => {
      client.off('error', reject)
      client.window = Math.min(WINDOW, connack.properties?.receiveMaximum ?? WINDOW)
      resolve({
        session_present: connack.sessionPresent,
        topic_alias_maximum: connack.properties?.topicAliasMaximum ?? 0
      })
    })
    client.once('error', reject)
  })
}

function watch (name, client) {
  client.on('message', (topic, payload, packet) => {
    const properties = { ...packet.properties }
    if (properties.correlationData) properties.correlationData = base64(properties.correlationData)
    say({ client: name, event: 'message', topic, payload: base64(payload), qos: packet.qos, retain: packet.retain, properties })
  })
  client.on('disconnect', (packet) => say({ client: name, event: 'disconnect', reason: packet.reasonCode }))
  client.on('close', () => say({ client: name, event: 'close' }))
  // An error before CONNACK rejects the command; a later one is followed by 'close', which the tests wait for.
  client.on('error', () => {})
}

function publishOne (client, payload, command) {
  const { topic, qos, retain, properties } = command
  return new Promise((resolve, reject) => {
    client.publish(topic, Buffer.from(payload, 'base64'), { qos, retain, properties }, (error) => error ? reject(error) : resolve())
  })
}

async function publishAll (client, command) {
  const waiting = new Set()
  for (const payload of command.payloads) {
    if (waiting.size >= client.window) await Promise.race(waiting)
    const sent = publishOne(client, payload, command)
    waiting.add(sent)
    sent.finally(() => waiting.delete(sent)).catch(() => {})
  }
  await Promise.all(waiting)
}

const commands = {
  async connect ({ client: name, version, options }) {
    if (options.will) options.will.payload = Buffer.from(options.will.payload, 'base64')
    // Named here because reconnect() would take new ones: the QoS 2 state of the session is in them.
    const stores = { incomingStore: new mqtt.Store(), outgoingStore: new mqtt.Store() }
    const client = mqtt.connect({ ...PROTOCOLS[version], ...options, ...stores, reconnectPeriod: 0, resubscribe: false })
    client.stores = stores
    clients.set(name, client)
    watch(name, client)
    return connected(client)
  },

  async reconnect ({ client: name }) {
    const client = clients.get(name)
    const done = connected(client)
    client.reconnect(client.stores)
    return done
  },

  async subscribe ({ client: name, filter, options }) {
    await clients.get(name).subscribeAsync(filter, options)
  },

  async publish (command) {
    const properties = command.properties
    if (properties?.correlationData) properties.correlationData = Buffer.from(properties.correlationData, 'base64')
    await publishAll(clients.get(command.client), command)
  },

  // Cuts the connection as a broken network does: no DISCONNECT is sent.
  async drop ({ client: name }) {
    const client = clients.get(name)
    const closed = new Promise((resolve) => client.once('close', resolve))
    client.stream.destroy()
    await closed
  },

  async end ({ client: name }) {
    const client = clients.get(name)
    clients.delete(name)
    await client.endAsync()
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  commands[command.do](command).then(
    (answer) => say({ answer: command.number, ...answer }),
    (error) => say({ answer: command.number, error: String(error) })
  )
}).on('close', () => process.exit(0))
