// The live page: each view of the stream to the part of the page that shows it.

import { showLeaders } from './leaders.js';
import { Chart } from './chart.js';
import { City } from './city.js';
import { showSegments } from './heat.js';
import { Recent } from './recent.js';
import { Panel } from './panel.js';

export function startLive(stream) {
  const chart = new Chart(document.querySelector('[data-chart]'));
  const panel = new Panel(document.querySelector('[data-panel]'));
  const open = (id, from) => panel.open(id, from);
  const city = new City(document.querySelector('[data-map]'), open);
  const recent = new Recent(document.querySelector('[data-recent]'), open);
  let models, errors;

  stream.on('summary', (summary) => city.clock(summary.clock));
  stream.on('models', (view) => {
    models = view;
    chart.models(view);
    showLeaders(models, errors);
  });
  stream.on('errors', (view) => {
    errors = view;
    chart.show(view);
    if (models) showLeaders(models, errors);
  });
  stream.on('segments', (view) => {
    showSegments('hours', view.hours, models);
    showSegments('distances', view.distances, models);
  });
  stream.on('trips', (view) => {
    city.show(view);
    recent.show(view, city.trips);
  });
  panel.start();
}
