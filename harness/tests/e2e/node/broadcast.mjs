// A broadcast server as people write them, with the faults that people make (first argument).
import { WebSocketServer } from 'ws';

const [fault = 'none'] = process.argv.slice(2);
const rooms = new Map();
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
let sent = 0;
let held = null;
let victim = null;
let heard = 0;

server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on('connection', (socket) => {
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'join') {
      if (!rooms.has(message.room)) rooms.set(message.room, new Set());
      rooms.get(message.room).add(socket);
      socket.on('close', () => rooms.get(message.room).delete(socket));
    } else if (message.type === 'chat') {
      for (const member of rooms.get(message.room) ?? []) {
        if (member !== socket) deliver(member, socket, JSON.stringify(message), message.room);
      }
    }
  });
});

function deliver(member, from, frame, room) {
  sent += 1;
  const now = sent % 500 === 0;
  if (fault === 'loss' && now) return;
  if (fault === 'deaf') {
    victim ??= member;
    if (member === victim) return;
  }
  if (fault === 'disorder') {
    // Every 20th message for one member waits until after the next one, if that is somebody else's.
    if (held?.member === member) {
      const frames = held.from === from ? [held.frame, frame] : [frame, held.frame];
      held = null;
      for (const one of frames) member.send(one);
      return;
    }
    victim ??= member;
    if (member === victim && ++heard % 20 === 0) {
      held = { member, from, frame };
      return;
    }
  }
  member.send(frame);
  if (fault === 'duplicate' && now) member.send(frame);
  if (fault === 'leak' && now) {
    const other = [...rooms].find(([name]) => name !== room);
    other?.[1].values().next().value?.send(frame);
  }
}
