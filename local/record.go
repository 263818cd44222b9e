package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/record"
)

const recordUsage = `local record writes what topics hold to a file of CloudEvents, in the order in which
it arrived: JSON lines, compressed if the name ends with .gz.

  local record --out day.jsonl.gz                          the trips, up to now
  local record --out day.jsonl.gz --topics all --follow    and what comes, until ctrl-C
  local record --out day.jsonl.gz --resume --for 10m       more of it, for ten minutes

The exit code is 0 if all of it was recorded, or as much as --max-bytes allows.

`

// recording is what local record is asked for.
type recording struct {
	kafka  kafka.Connection
	out    string
	resume bool
	now    bool // from now on
	until  time.Duration
	max    size
	record.Options

	screen *screen
	drawn  time.Time
}

func recordCommand(ctx context.Context, in invocation) error {
	r := recording{screen: newScreen(in.stderr), max: 1 << 30}
	if err := r.parse(in); err != nil {
		return err
	}
	if r.until > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.until)
		defer cancel()
	}
	summary, err := r.run(ctx)
	if summary != nil {
		fmt.Fprint(in.stdout, r.report(*summary))
	}
	return err
}

func (r *recording) parse(in invocation) error {
	flags := in.flags("record", recordUsage)
	brokers := flags.String("kafka", "", kafkaFlag)
	topics := flags.String("topics", events.TopicPickUps+","+events.TopicDropOffs, "`topics`, comma-separated; all is every topic of the house")
	flags.StringVar(&r.out, "out", "", "`file` to write, which may not be there yet")
	flags.BoolVar(&r.resume, "resume", false, "go on with the file, if it is there")
	flags.BoolVar(&r.Follow, "follow", false, "go on with what arrives, until ctrl-C (else it ends where the topics end now)")
	flags.DurationVar(&r.until, "for", 0, "follow for so long")
	flags.BoolVar(&r.now, "from-now", false, "leave out what has arrived before")
	flags.Var(&r.max, "max-bytes", "`size` of the file, as 500MB or 1GiB, at which the recording ends; 0 is no bound")
	verbose := flags.Bool("v", false, "log every event")
	if err := in.parse(flags); err != nil {
		return err
	}
	r.Log = newLog(r.screen, *verbose)
	for topic := range strings.SplitSeq(*topics, ",") {
		if topic = strings.TrimSpace(topic); topic != "" {
			r.Topics = append(r.Topics, topic)
		}
	}
	if slices.Equal(r.Topics, []string{"all"}) {
		r.Topics = events.Topics()
	}
	if err := r.check(); err != nil {
		return usageError{err}
	}
	r.Follow = r.Follow || r.until > 0
	var err error
	r.kafka, err = in.kafka(*brokers)
	return err
}

func (r *recording) check() error {
	switch {
	case r.out == "":
		return errors.New("--out says which file to write")
	case len(r.Topics) == 0:
		return errors.New("--topics names no topic")
	case r.until < 0:
		return fmt.Errorf("--for %s is negative", r.until)
	case r.now && !r.Follow && r.until == 0:
		return errors.New("--from-now needs --follow or --for: it leaves out all that is there")
	}
	return nil
}

// run has no summary if nothing was begun.
func (r *recording) run(ctx context.Context) (*record.Summary, error) {
	w, fresh, err := r.open()
	if err != nil {
		return nil, err
	}
	if r.now {
		if r.Since, err = r.since(fresh); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	r.Progress = r.show
	summary, err := record.Record(ctx, r.kafka, r.Options, w)
	err = errors.Join(err, w.Close())
	r.screen.draw(nil)
	if fresh && err != nil && len(summary.Records) == 0 {
		return nil, errors.Join(err, os.Remove(r.out)) // the next try finds no file in its way
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped before the end: --resume goes on")
	}
	return &summary, errors.Join(err, lost(summary))
}

// open starts the file, or goes on with it.
func (r *recording) open() (w *recordings.Writer, fresh bool, err error) {
	o := recordings.WriterOptions{MaxBytes: int64(r.max)}
	if r.resume {
		w, err := recordings.Resume(r.out, o)
		if !errors.Is(err, fs.ErrNotExist) {
			return w, false, err
		}
	}
	w, err = recordings.Create(r.out, o)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: --resume goes on with it", err)
	}
	return w, true, err
}

// since is from when on --from-now records: a recording that is gone on with has
// left nothing out since its first record.
func (r *recording) since(fresh bool) (time.Time, error) {
	if fresh {
		return time.Now(), nil
	}
	before, err := recordings.Open(r.out)
	if err != nil {
		return time.Time{}, err
	}
	defer before.Close()
	for first, err := range before.Records() {
		return first.At, err
	}
	return time.Now(), nil
}

// lost is an error about what Kafka no longer had.
func lost(s record.Summary) error {
	if len(s.Lost) == 0 {
		return nil
	}
	gaps := make([]string, len(s.Lost))
	for i, gap := range s.Lost {
		gaps[i] = gap.String()
	}
	return fmt.Errorf("the recording has gaps: %s", strings.Join(gaps, "; "))
}

// show draws how far it is, on a terminal.
func (r *recording) show(s record.Summary) {
	if !r.screen.terminal || time.Since(r.drawn) < 200*time.Millisecond {
		return
	}
	r.drawn = time.Now()
	r.screen.draw(strings.Split(strings.TrimSuffix(r.report(s), "\n"), "\n"))
}

// report says what is in the file by now.
func (r *recording) report(s record.Summary) string {
	var b strings.Builder
	var bytes size
	if info, err := os.Stat(r.out); err == nil {
		bytes = size(info.Size())
	}
	fmt.Fprintf(&b, "%s: %s\n", r.out, bytes.String())
	for _, topic := range r.topics(s) {
		fmt.Fprintf(&b, "  %-12s %9d records\n", topic, s.Records[topic])
	}
	if !s.First.IsZero() {
		const layout = "2006-01-02T15:04:05.000Z07:00"
		fmt.Fprintf(&b, "  arrived from %s to %s\n", s.First.Format(layout), s.Last.Format(layout))
	}
	if s.Full {
		fmt.Fprintf(&b, "The recording is full (--max-bytes %s), and there is more: go on with --resume and a larger one.\n", &r.max)
	}
	return b.String()
}

// topics are those asked for, in the order of the house.
func (r *recording) topics(s record.Summary) []string {
	var all []string
	for _, topic := range slices.Concat(events.Topics(), r.Topics) {
		if slices.Contains(r.Topics, topic) && !slices.Contains(all, topic) {
			all = append(all, topic)
		}
	}
	return all
}

// size is a flag in bytes.
type size int64

var _ flag.Value = (*size)(nil)

// units are those of sizes, from the largest.
var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30},
	{"GB", 1e9},
	{"MiB", 1 << 20},
	{"MB", 1e6},
	{"KiB", 1 << 10},
	{"kB", 1e3},
	{"B", 1},
}

func (s *size) Set(text string) error {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range units {
		if rest, ok := cutUnit(number, u.name); ok {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || n*float64(unit) >= 1<<62 {
		return errors.New("it is no size, such as 500MB or 1GiB")
	}
	*s = size(n * float64(unit))
	return nil
}

func cutUnit(text, unit string) (string, bool) {
	at := len(text) - len(unit)
	if at < 0 || !strings.EqualFold(text[at:], unit) {
		return text, false
	}
	return strings.TrimSpace(text[:at]), true
}

// String is the size in the largest unit of which it is a whole number, if that
// is short, or about so much.
func (s *size) String() string {
	n := int64(*s)
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 && n/u.bytes < 10_000 {
			return fmt.Sprintf("%d %s", n/u.bytes, u.name)
		}
	}
	for _, u := range units {
		if n >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return "0"
}
