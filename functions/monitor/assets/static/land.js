// The ground of the map: outlines of boroughs, of what is around, and airports.

import { css } from './colours.js';
import { planeX, planeY } from './projection.js';

export async function readLand() {
  const answer = await fetch(new URL('./outlines.json', import.meta.url));
  const { boroughs, around, labels, airports } = await answer.json();
  return {
    boroughs: boroughs.flatMap(rings), around: around.flatMap(rings),
    labels: labels.map(placed), airports: airports.map(placed),
    names: new Set(boroughs.map((b) => b.name)),
  };
}

const rings = ({ rings: all }) => all.map((ring) => ring.map((v, i) => (i % 2 ? planeY(v) : planeX(v))));
const placed = ({ name, lon, lat }) => ({ name, x: planeX(lon), y: planeY(lat) });

export function drawLand(context, view, land) {
  context.fillStyle = css('--land-far');
  fill(context, view, land.around);
  context.fillStyle = css('--land');
  context.strokeStyle = css('--shore');
  context.lineWidth = 1;
  context.lineJoin = 'round';
  fill(context, view, land.boroughs);
  context.stroke();
}

function fill(context, view, polygons) {
  context.beginPath();
  for (const ring of polygons) {
    for (let i = 0; i < ring.length; i += 2) {
      const x = view.toX(ring[i]);
      const y = view.toY(ring[i + 1]);
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
    context.closePath();
  }
  context.fill('evenodd');
}

// Names stand above the trips, with a rim that keeps them legible there.
export function drawNames(context, view, { labels, airports, names }) {
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineJoin = 'round';
  context.lineWidth = 3;
  context.fillStyle = css('--ink-2');
  context.strokeStyle = css('--land');
  for (const { name, x, y } of labels) {
    const near = names.has(name);
    if (!near && view.zoom > 6) continue;
    context.globalAlpha = near ? 0.85 : 0.5;
    context.font = `${near ? 600 : 400} 12px system-ui, sans-serif`;
    write(context, view, name, view.toX(x), view.toY(y));
  }
  context.globalAlpha = 0.85;
  context.textAlign = 'left';
  context.font = '600 11px system-ui, sans-serif';
  for (const { name, x, y } of airports) {
    const [px, py] = [view.toX(x), view.toY(y)];
    context.fillRect(px - 2.5, py - 2.5, 5, 5);
    write(context, view, name, px + 7, py);
  }
  context.globalAlpha = 1;
}

// A name that does not fit is left out.
function write(context, view, name, x, y) {
  const { width } = context.measureText(name);
  const left = context.textAlign === 'center' ? x - width / 2 : x;
  if (left < 2 || left + width > view.width - 2 || y < 8 || y > view.height - 8) return;
  context.strokeText(name, x, y);
  context.fillText(name, x, y);
}
