package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/replay"
)

const replayUsage = `local replay plays a recording again, says what came out, and compares it with
what came out before. Without --kafka and --function it starts a system of its own.

  local replay morning.jsonl.gz --speed 60
  local replay morning.jsonl.gz --step --golden morning.golden.jsonl --update
  local replay morning.jsonl.gz --kafka localhost:9092 --speed 0
  local replay morning.jsonl.gz --function http://localhost:8081
  local replay events.jsonl.gz --sql local/bikes/sql --models local/bikes/models.yaml

The exit code is 1 if anything came out otherwise than the golden file has it.

`

// replayer replays one recording.
type replayer struct {
	file     string
	brokers  string
	function string
	play     replay.Play
	step     bool
	models   string
	sqlDir   string // of a program; empty: as built in
	set      variables
	golden   string
	update   bool
	out      string
	rules    replay.Rules
	quiet    time.Duration
	verbose  bool

	kafka kafka.Connection // if brokers are given
	want  *replay.Outcome  // nil if nothing is compared
	sql   fs.FS            // nil: as built in
	// unknown says that the SQL is not about trips.
	unknown bool
	reads   []string // topics that the SQL of a system of its own takes in
}

func replayCommand(ctx context.Context, in invocation) error {
	r, err := parseReplay(in)
	if err != nil {
		return err
	}
	reader, err := recordings.Open(r.file)
	if err != nil {
		return err
	}
	defer reader.Close()
	records, err := begun(reader.Records())
	if err != nil {
		return err // before anything is started for it
	}
	if r.golden != "" && !r.update {
		if r.want, err = r.readGolden(); err != nil {
			return err
		}
	}
	return r.run(ctx, in, records)
}

// begun returns the records, or the error that a file which is no recording begins
// with.
func begun(records iter.Seq2[recordings.Record, error]) (iter.Seq2[recordings.Record, error], error) {
	next, stop := iter.Pull2(records)
	first, err, ok := next()
	if ok && err != nil {
		stop()
		return nil, err
	}
	return func(yield func(recordings.Record, error) bool) {
		defer stop()
		for r, err := first, error(nil); ok; r, err, ok = next() {
			if !yield(r, err) {
				return
			}
		}
	}, nil
}

func (r *replayer) readGolden() (*replay.Outcome, error) {
	want, err := replay.ReadOutcome(r.golden)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: --update makes it", err)
	}
	return want, err
}

// run replays, reports and compares. What came of the records before an error is
// told as well.
func (r *replayer) run(ctx context.Context, in invocation, records iter.Seq2[recordings.Record, error]) error {
	replayInto := r.intoOwn
	switch {
	case r.function != "":
		replayInto = r.intoFunction
	case r.brokers != "":
		replayInto = r.intoKafka
	}
	screen := newScreen(in.stderr)
	outcome, report, err := replayInto(ctx, screen, records)
	if report == nil {
		return err
	}
	if len(report.Played) == 0 && len(report.Others) > 0 && err == nil {
		err = r.nothingPlayed(report)
	}
	if werr := report.WriteText(in.stdout); werr != nil {
		return errors.Join(err, werr)
	}
	return errors.Join(err, r.finish(in.stdout, outcome, err == nil))
}

// nothingPlayed is a recording of other topics than those that are played.
func (r *replayer) nothingPlayed(report *replay.Report) error {
	has := strings.Join(slices.Sorted(maps.Keys(report.Others)), ", ")
	if r.play.Topics == nil {
		return fmt.Errorf("%s has only records of %s, which come out of a system: --topics says which to play all the same", r.file, has)
	}
	return fmt.Errorf("%s has no record of %s, but of %s: --sql names the folder of the SQL that reads them, or --topics what to play",
		r.file, strings.Join(r.play.Topics, ", "), has)
}

// finish writes and compares the outcome. One that is not whole does not become
// the golden one.
func (r *replayer) finish(stdout io.Writer, outcome *replay.Outcome, whole bool) error {
	if r.out != "" {
		if err := writeFile(r.out, outcome.Write); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	switch {
	case r.update && !whole:
		return fmt.Errorf("--update: %s is left as it was", r.golden)
	case r.update:
		if err := writeFile(r.golden, outcome.Write); err != nil {
			return fmt.Errorf("--update: %w", err)
		}
		fmt.Fprintf(stdout, "golden     %s has this outcome now\n", r.golden)
	case r.want != nil:
		return r.compare(stdout, outcome)
	}
	return nil
}

// mostDifferences are listed.
const mostDifferences = 20

func (r *replayer) compare(stdout io.Writer, outcome *replay.Outcome) error {
	differences := replay.Compare(r.want, outcome, r.rules)
	if len(differences) == 0 {
		fmt.Fprintf(stdout, "golden     as in %s\n", r.golden)
		return nil
	}
	for _, d := range differences[:min(len(differences), mostDifferences)] {
		fmt.Fprintln(stdout, d)
	}
	if more := len(differences) - mostDifferences; more > 0 {
		fmt.Fprintf(stdout, "and %d differences more\n", more)
	}
	return fmt.Errorf("%d differences from %s: --update makes this outcome the golden one", len(differences), r.golden)
}

// settles reports whether records are played as fast as they are answered: see atOnce.
func (r *replayer) settles() bool { return r.unknown && r.play.Speed == 0 }

// intoOwn starts a system for the replay.
func (r *replayer) intoOwn(ctx context.Context, screen *screen, records iter.Seq2[recordings.Record, error]) (*replay.Outcome, *replay.Report, error) {
	own, err := startOwnWith(ctx, options{models: r.models, verbose: r.verbose, variables: r.set, rig: rig{sql: r.sql, newest: r.step || r.settles()}}, screen)
	if err != nil {
		return nil, nil, err
	}
	defer own.stop()
	fmt.Fprintf(screen, "replaying %s into a system of its own: Kafka %s   SQL %s\n", r.file, own.kafka, own.sqlAt)
	stopShowing, err := r.show(ctx, own.parts, own.tally, screen)
	if err != nil {
		return nil, nil, err
	}
	played, err := own.play(ctx, r.play, r.step, records)
	stopShowing()
	outcome := own.collector.Outcome()
	return outcome, replay.NewReport(played, outcome, own.collector.Retractions()), err
}

// intoKafka plays into a system that runs, and waits until nothing comes out of
// it any more.
func (r *replayer) intoKafka(ctx context.Context, screen *screen, records iter.Seq2[recordings.Record, error]) (*replay.Outcome, *replay.Report, error) {
	if err := r.kafka.Check(ctx, slices.Concat(r.play.Topics, replay.Outputs())...); err != nil {
		return nil, nil, err
	}
	collector, err := replay.NewCollector(ctx, r.kafka, replay.Outputs()...)
	if err != nil {
		return nil, nil, err
	}
	defer collector.Close()
	p := newParts(newLog(screen, r.verbose))
	defer p.stop()
	t, err := newTally(r.kafka, p.log)
	if err != nil {
		return nil, nil, err
	}
	p.closing(t.client.Close)
	fmt.Fprintf(screen, "replaying %s into Kafka %s\n", r.file, r.kafka)
	stopShowing, err := r.show(ctx, p, t, screen)
	if err != nil {
		return nil, nil, err
	}
	played, err := collecting(ctx, collector, r.play, r.kafka, r.checked(ctx, records), func(ctx context.Context) error {
		return collector.Quiet(ctx, r.quiet)
	})
	stopShowing()
	outcome := collector.Outcome()
	return outcome, replay.NewReport(played, outcome, collector.Retractions()), err
}

// checked are the records, up to the first of a topic that is played and that Kafka
// does not have.
func (r *replayer) checked(ctx context.Context, records iter.Seq2[recordings.Record, error]) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		known := map[string]bool{}
		for record, err := range records {
			if err == nil && r.play.Topics == nil && !known[record.Topic] && !slices.Contains(r.play.Except, record.Topic) {
				known[record.Topic] = true
				err = r.kafka.Check(ctx, record.Topic)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// show shows on the screen what the topics say, until it is stopped.
func (r *replayer) show(ctx context.Context, p *parts, t *tally, screen *screen) (stop func(), err error) {
	if err := t.fromNow(ctx); err != nil {
		return nil, err
	}
	p.background(ctx, "counting", func(ctx context.Context) error {
		t.run(ctx)
		return nil
	})
	began := time.Now()
	return screen.show(ctx, func() moment {
		m := t.moment()
		m.elapsed = time.Since(began)
		return m
	}), nil
}

func (r *replayer) intoFunction(ctx context.Context, screen *screen, records iter.Seq2[recordings.Record, error]) (*replay.Outcome, *replay.Report, error) {
	fmt.Fprintf(screen, "replaying %s into the function at %s\n", r.file, r.function)
	outcome, played, err := r.play.Function(ctx, r.function, records)
	return outcome, replay.NewReport(played, outcome, nil), err
}

func parseReplay(in invocation) (*replayer, error) {
	if len(in.args) > 0 && !strings.HasPrefix(in.args[0], "-") {
		in.args = append(slices.Clone(in.args[1:]), in.args[0]) // flags may follow the file
	}
	r := &replayer{set: variables{}}
	flags := in.flags("replay", replayUsage)
	flags.StringVar(&r.brokers, "kafka", "", "`host:port` of the Kafka brokers of a running system, comma-separated; the KAFKA_ variables say how to connect")
	flags.StringVar(&r.function, "function", "", "`URL` of one function, to which events are posted instead")
	flags.Float64Var(&r.play.Speed, "speed", 1, "times as fast as recorded; 0 is as fast as the system takes it")
	flags.BoolVar(&r.step, "step", false, "play one record at a time, each when all that the one before has caused is over: then the outcome is the same every time, predictions included")
	clock := flags.String("clock", "arrival", "what speed, --from and --to go by: `arrival`, or event, when it happened")
	from := flags.String("from", "", "the `time` of the first record to play, as 2016-01-04T08:00 or in RFC 3339")
	to := flags.String("to", "", "the `time` of the first record not to play any more")
	topics := flags.String("topics", "", "`topics` to play, comma-separated, or all (else those that come out of no system; of a function: whatever it takes)")
	flags.StringVar(&r.golden, "golden", "", "compare what comes out with this `file`")
	flags.BoolVar(&r.update, "update", false, "write the golden file instead")
	flags.Float64Var(&r.rules.Tolerance, "tolerance", replay.DefaultTolerance, "by how much numbers may differ, relative to the larger one; all else is compared exactly")
	flags.StringVar(&r.out, "out", "", "write what comes out to this `file` (.gz is compressed)")
	flags.StringVar(&r.models, "models", "", "catalogue `file` of the system of its own (else infra/models.yaml as built in)")
	flags.StringVar(&r.sqlDir, "sql", "", sqlFlag+", of the system of its own")
	r.set.flags(flags)
	flags.DurationVar(&r.quiet, "quiet-for", 5*time.Second, "with --kafka: it is over when nothing has come out for so long")
	flags.BoolVar(&r.verbose, "v", false, "log every event")
	if err := in.parse(flags, "the recording"); err != nil {
		return nil, err
	}
	r.file = flags.Arg(0)
	err := r.check(givenFlags(flags))
	if err == nil {
		err = r.chooseProgram()
	}
	if err == nil {
		err = r.choose(*clock, *from, *to, *topics)
	}
	if err != nil {
		return nil, usageError{err}
	}
	if r.brokers != "" {
		if r.kafka, err = in.kafka(r.brokers); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// check refuses what makes no sense together.
func (r *replayer) check(given map[string]bool) error {
	own := r.brokers == "" && r.function == ""
	switch {
	case r.brokers != "" && r.function != "":
		return errors.New("--kafka and --function: a recording is played into one of them")
	case r.step && !own:
		return errors.New("--step needs a system of its own, without --kafka and --function: elsewhere nobody can tell when all that a record causes is over")
	case r.step && given["speed"]:
		return errors.New("--step has no --speed: the next record waits for all that the one before causes")
	case r.models != "" && !own:
		return errors.New("--models is the catalogue of a system of its own: the models of a running one are in its Redis")
	case (r.sqlDir != "" || len(r.set) > 0) && !own:
		return errors.New("--sql and --set are the program of a system of its own: that of a running one is in its Materialize")
	case r.update && r.golden == "":
		return errors.New("--update needs --golden, the file to write")
	case !(r.play.Speed >= 0) || math.IsInf(r.play.Speed, 0):
		return fmt.Errorf("--speed %g is not 0 or above", r.play.Speed)
	case !(r.rules.Tolerance > 0):
		return fmt.Errorf("--tolerance %g is not above 0", r.rules.Tolerance)
	case r.quiet <= 0:
		return fmt.Errorf("--quiet-for %s is not above 0", r.quiet)
	}
	// Where records are not waited for, what was learned when is up to the machine.
	r.rules.Unordered = !r.step && r.function == ""
	if r.function != "" {
		return checkURL("function", r.function)
	}
	return nil
}

// choose sets what is played.
func (r *replayer) choose(clock, from, to, topics string) (err error) {
	switch clock {
	case "arrival":
		r.play.Clock = replay.Arrival
	case "event":
		r.play.Clock = replay.EventTime
	default:
		return fmt.Errorf("--clock: %q is neither arrival nor event", clock)
	}
	if r.play.From, err = parseTime(from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if r.play.To, err = parseTime(to); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if !r.play.To.IsZero() && !r.play.From.Before(r.play.To) {
		return fmt.Errorf("--to %s is not after --from %s", to, from)
	}
	return r.chooseTopics(topics)
}

// chooseProgram reads the SQL, if it is not the one built in.
func (r *replayer) chooseProgram() error {
	r.reads = inputs()
	if r.sqlDir == "" {
		_, err := programOf(nil, "localhost:9092", r.set)
		return err
	}
	files, statements, err := openProgram(r.sqlDir, r.set)
	if err != nil {
		return err
	}
	r.sql, r.reads = files, inputsOf(statements)
	if r.unknown = !readsTrips(statements); r.unknown {
		return needModels(r.sqlDir, r.models)
	}
	return nil
}

func (r *replayer) chooseTopics(topics string) error {
	own := r.brokers == "" && r.function == ""
	switch {
	case topics == "all":
		return nil
	case topics == "" && r.function != "":
		r.play.OnlyTaken = true
		return nil
	case topics == "" && own:
		r.play.Topics = r.reads
		return nil
	case topics == "":
		r.play.Except = replay.Outputs()
		return nil
	}
	known := events.Topics()
	if r.unknown {
		known = slices.Concat(r.reads, replay.Outputs())
	}
	for topic := range strings.SplitSeq(topics, ",") {
		topic = strings.TrimSpace(topic)
		if own && !slices.Contains(known, topic) {
			return fmt.Errorf("--topics: %q is none of %s", topic, strings.Join(known, ", "))
		}
		r.play.Topics = append(r.play.Topics, topic)
	}
	return nil
}

// parseTime reads RFC 3339, or without a zone, which is then UTC. No text is no
// time.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither like 2016-01-04T08:00 nor RFC 3339", text)
}
