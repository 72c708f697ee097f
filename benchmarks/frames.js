// Counts the frames that a page draws, and what held them up, by the browser's own clock.
window.startCounting = () => {
  const times = [performance.now()];
  const long = [];
  const watch = new PerformanceObserver((list) => {
    for (const { duration, blockingDuration } of list.getEntries()) {
      long.push({ duration, blockingDuration });
    }
  });
  watch.observe({ type: "long-animation-frame" });
  let counting = true;
  const count = (now) => {
    times.push(now);
    if (counting) requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
  window.stopCounting = () => {
    counting = false;
    watch.disconnect();
    return { times, long };
  };
};
