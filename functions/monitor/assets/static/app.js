// Starts what the page at hand needs.

import { bind } from './bind.js';
import { localTimes } from './fragment.js';
import { learnModels, startTheme } from './colours.js';
import { setClock } from './format.js';
import { showModels, startAges } from './models.js';
import { showConnection, showSources } from './sources.js';
import { Stream } from './stream.js';

startTheme();
const stream = new Stream('/stream');
stream.addEventListener('state', () => showConnection(stream.state));
startAges();
stream.on('summary', (summary) => {
  setClock(summary.at);
  showSources(summary);
  bind(document, summary);
});
stream.on('models', (models) => {
  learnModels(models.models.map((m) => m.name));
  showModels(models);
});

localTimes(document);

const page = document.body.dataset.page;
const main = document.querySelector('#main');
if (page === 'live') {
  const { startLive } = await import('./live.js');
  startLive(stream);
} else if (page === 'trip') {
  const { follow } = await import('./trip.js');
  follow(main);
} else if (page !== 'error') {
  const { startRefresh } = await import('./refresh.js');
  startRefresh(main);
}
if (page === 'model') {
  const { followModels, startActions } = await import('./actions.js');
  stream.on('models', followModels);
  startActions();
}
stream.open();
