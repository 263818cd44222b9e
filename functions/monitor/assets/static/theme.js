// Classic and blocking: the theme that was chosen has to stand before the first
// paint, or a dark page flashes white.
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  try {
    const theme = localStorage.getItem('theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  } catch {
    // Storage can be forbidden: then it is as the system has it.
  }
})();
