import assert from 'node:assert/strict';
import test from 'node:test';
import { View, planeX, planeY } from '../static/projection.js';
import { ENDED, ON_ITS_WAY, Trips, classOf } from '../static/trips.js';

const close = (got, want) => assert.ok(Math.abs(got - want) < 1e-6, `${got} is not ${want}`);

test('what is at the pointer stays there while zooming', () => {
  const view = new View();
  view.resize(800, 600);
  const [x, y] = [view.fromX(700), view.fromY(100)];
  view.zoomAt(3, 700, 100);
  close(view.fromX(700), x);
  close(view.fromY(100), y);
  close(view.zoom, 3);
});

test('north is up, east is right, and a pixel there and back is itself', () => {
  const view = new View();
  view.resize(800, 600);
  assert.ok(view.toY(planeY(40.8)) < view.toY(planeY(40.7)));
  assert.ok(view.toX(planeX(-73.9)) > view.toX(planeX(-74)));
  close(view.toX(view.fromX(123)), 123);
});

test('a map that is resized shows as much of the city as before', () => {
  const view = new View();
  view.resize(800, 600);
  view.zoomAt(4);
  view.resize(400, 900);
  close(view.zoom, 4);
  view.home();
  close(view.zoom, 1);
});

test('zoom and pan have an end', () => {
  const view = new View();
  view.resize(800, 600);
  view.zoomAt(1e9);
  assert.ok(view.zoom <= 60.001);
  view.zoomAt(1e-9);
  assert.ok(view.zoom >= 0.499);
  view.pan(1e9, -1e9);
  assert.ok(Math.abs(view.x) <= 0.3 && Math.abs(view.y) <= 0.3);
});

test('classes of errors', () => {
  assert.deepEqual([49, 50, 79, 80, 100, 125, 126, 200, 201].map((p) => classOf(p, 100)), [0, 1, 1, 2, 2, 2, 3, 3, 4]);
  assert.equal(classOf(10, 0), 4);
});

const started = (id, lon, lat) => [id, lon, lat, lon + 0.01, lat + 0.01, 1000, 600];
const under = (trips) => {
  const ids = [];
  trips.each(ON_ITS_WAY, (slot) => ids.push(trips.ids[slot]));
  return ids;
};

test('a trip moves to its drop-off when it ends', () => {
  const trips = new Trips(10);
  const slot = trips.start(started('a', -73.98, 40.75));
  assert.equal(trips.nearest(planeX(-73.98), planeY(40.75), 0.001), slot);
  assert.equal(trips.end(['a', -73.9, 40.7, 600, 300]), slot);
  assert.equal(trips.nearest(planeX(-73.98), planeY(40.75), 0.001), -1);
  assert.equal(trips.nearest(planeX(-73.9), planeY(40.7), 0.001), slot);
  assert.deepEqual([trips.size, trips.under, trips.ended, trips.state[slot]], [1, 0, 1, ENDED]);
});

test('neither twice, and an end without a start is a trip', () => {
  const trips = new Trips(10);
  trips.start(started('a', -73.98, 40.75));
  assert.equal(trips.start(started('a', -73.98, 40.75)), -1);
  trips.end(['a', -73.9, 40.7, 600, 300]);
  assert.equal(trips.end(['a', -73.9, 40.7, 600, 300]), -1);
  assert.notEqual(trips.end(['b', -73.9, 40.7, 600, 300]), -1);
  assert.deepEqual([trips.size, trips.ended], [2, 2]);
});

test('the oldest makes room, and is found no more', () => {
  const trips = new Trips(3);
  for (const [i, id] of ['a', 'b', 'c', 'd', 'e'].entries()) trips.start(started(id, -73.98 + i / 100, 40.75));
  assert.deepEqual(under(trips), ['c', 'd', 'e']);
  assert.equal(trips.size, 3);
  assert.equal(trips.nearest(planeX(-73.98), planeY(40.75), 0.001), -1);
  trips.clear();
  assert.deepEqual(under(trips), []);
});

test('the grid finds what asking all finds', () => {
  const trips = new Trips(500);
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let i = 0; i < 1200; i++) {
    // Some are far outside of the grid.
    const place = [-73.93 + (random() - 0.5) * 1.4, 40.73 + (random() - 0.5) * 1.4];
    trips.start(started(`t${i}`, ...place));
    if (random() < 0.5) trips.end([`t${i}`, ...place, 600, 500]);
  }
  for (let i = 0; i < 300; i++) {
    const [x, y, radius] = [(random() - 0.5) * 1.2, (random() - 0.5) * 1.2, 0.03];
    let want = radius;
    for (let slot = 0; slot < 500; slot++) want = Math.min(want, Math.hypot(trips.x(slot) - x, trips.y(slot) - y));
    const got = trips.nearest(x, y, radius);
    if (want >= radius) assert.equal(got, -1);
    else close(Math.hypot(trips.x(got) - x, trips.y(got) - y), want);
  }
});
