package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/infra"
	"tripcast.dev/local/backtest"
	"tripcast.dev/sql"
)

const backtestUsage = `local backtest asks models about recorded trips as if they had served them: every
trip at its start, every label learned at its drop-off. The features are those of
sql/, or of a program of your own, evaluated once over all of the trips. It opens no
socket, and given the same trips and models it reports the same to the last bit.

  go run ./local backtest --trips trips.csv.gz
  go run ./local backtest --trips recording.jsonl.gz --models my.yaml --html report.html
  go run ./local backtest --trips synthetic --limit 20000 --compare city-grid-neighbors city-grid
  go run ./local backtest --trips local/bikes/events.jsonl.gz --sql local/bikes/sql --models local/bikes/models.yaml

The exit code is 1 if a model stopped, or if the trips could not be read to their
end; the report is of what came before.

`

// backtestOptions are what the flags of backtest say.
type backtestOptions struct {
	trips     string
	synthetic simulate.SyntheticConfig
	limit     int
	models    string // catalogue; empty: infra/models.yaml
	only      []string
	compare   []string // none or two
	period    time.Duration
	workers   int

	sqlDir     string    // of a program; empty: as built in
	set        variables // of it
	statements []sql.Statement

	html, json, samples string // files
}

func parseBacktest(in invocation) (backtestOptions, error) {
	o := backtestOptions{set: variables{}}
	flags := in.flags("backtest", backtestUsage)
	flags.StringVar(&o.trips, "trips", "", "a recording, as local record writes it, or a `file` of trips in the columns of Kaggle's NYC Taxi Trip Duration (.csv, .gz, .zip), or synthetic")
	flags.IntVar(&o.limit, "limit", 0, "ask about no more than so many trips; 0 is no limit")
	flags.Uint64Var(&o.synthetic.Seed, "seed", 1, "which synthetic trips")
	flags.StringVar(&o.models, "models", "", "catalogue `file` (else infra/models.yaml as built in)")
	flags.StringVar(&o.sqlDir, "sql", "", sqlFlag)
	o.set.flags(flags)
	only := flags.String("only", "", "ask only these `models`, comma-separated")
	compare := flags.String("compare", "", "test whether the errors of two `models`, A B or A,B, differ by more than chance")
	flags.DurationVar(&o.period, "period", 0, "report errors over time by so long (else by day, or by hour where the trips are of less than three)")
	flags.IntVar(&o.workers, "workers", 0, "ask so many models at once; 0 is one for each processor")
	flags.StringVar(&o.html, "html", "", "write the report as a page to this `file`")
	flags.StringVar(&o.json, "json", "", "write the report as JSON to this `file`; - is standard output, which has no table then")
	flags.StringVar(&o.samples, "samples", "", "write every trip with its features and label to this CSV `file`, which models evaluate reads")
	in.args = joinCompared(in.args)
	if err := in.parse(flags); err != nil {
		return o, err
	}
	o.only, o.compare = names(*only), names(*compare)
	if err := o.check(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// joinCompared lets --compare have two values, which package flag does not know.
func joinCompared(args []string) []string {
	for i, arg := range args {
		if arg != "--compare" && arg != "-compare" || i+2 >= len(args) {
			continue
		}
		a, b := args[i+1], args[i+2]
		if len(names(a)) == 1 && !strings.HasPrefix(b, "-") {
			return slices.Concat(args[:i+1], []string{a + "," + b}, args[i+3:])
		}
	}
	return args
}

// names are those of a list, with commas or spaces between.
func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (o *backtestOptions) check() error {
	switch {
	case o.trips == "":
		return errors.New("--trips is missing: a recording, a file of trips, or synthetic")
	case o.limit < 0:
		return fmt.Errorf("--limit %d is negative", o.limit)
	case o.workers < 0:
		return fmt.Errorf("--workers %d is negative", o.workers)
	case o.period < 0:
		return fmt.Errorf("--period %s is negative", o.period)
	case o.trips == simulate.TripsSynthetic && o.limit == 0:
		return errors.New("--trips synthetic needs --limit: synthetic trips never end")
	case len(o.compare) != 0 && len(o.compare) != 2:
		return fmt.Errorf("--compare wants two models, not %q", strings.Join(o.compare, " "))
	case len(o.compare) == 2 && o.compare[0] == o.compare[1]:
		return fmt.Errorf("--compare wants two models, not %s twice", o.compare[0])
	}
	if o.trips != simulate.TripsSynthetic {
		if _, err := os.Stat(o.trips); err != nil {
			return fmt.Errorf("--trips: %w", err)
		}
	}
	return o.chooseProgram()
}

// chooseProgram reads the SQL. The name of the broker is part of it; nobody connects
// to it.
func (o *backtestOptions) chooseProgram() (err error) {
	if o.sqlDir == "" {
		o.statements, err = programOf(nil, "localhost:9092", o.set)
		return err
	}
	if _, o.statements, err = openProgram(o.sqlDir, o.set); err != nil || readsTrips(o.statements) {
		return err
	}
	if !o.recorded() {
		return fmt.Errorf("--trips %s would be fed into %s and %s, which %s does not read: a recording of %s is what it needs",
			o.trips, events.TopicPickUps, events.TopicDropOffs, o.sqlDir, strings.Join(inputsOf(o.statements), ", "))
	}
	return needModels(o.sqlDir, o.models)
}

func (o *backtestOptions) recorded() bool {
	return o.trips != simulate.TripsSynthetic && isRecording(o.trips)
}

func backtestCommand(ctx context.Context, in invocation) error {
	o, err := parseBacktest(in)
	if err != nil {
		return err
	}
	catalogue, models, err := o.candidates()
	if err != nil {
		return err
	}
	line := newProgressLine(in.stderr)
	started := time.Now()
	trips, cut := o.read(ctx, in.stderr, line)
	if trips == nil || ctx.Err() != nil {
		return cut
	}
	read := time.Since(started)
	report, err := backtest.Run(ctx, trips, catalogue.Champion, models, backtest.Options{
		Workers: o.workers, Period: o.period, Progress: line.asking,
	})
	line.clear()
	if err != nil {
		return errors.Join(err, cut)
	}
	report.Timing.ReadS = backtest.Number(read.Seconds())
	if err := o.describe(report, catalogue, cut); err != nil {
		return err
	}
	errs := []error{o.write(in, report, trips), cut}
	for _, m := range report.Models {
		if m.Error != "" {
			errs = append(errs, errors.New(m.Error))
		}
	}
	return errors.Join(errs...)
}

// candidates are the catalogue and those of its models that are asked, with
// nothing learned.
func (o *backtestOptions) candidates() (*online.Catalogue, []evaluate.Model, error) {
	data := infra.Models()
	if o.models != "" {
		var err error
		if data, err = os.ReadFile(o.models); err != nil {
			return nil, nil, usageError{fmt.Errorf("--models: %w", err)}
		}
	}
	catalogue, err := online.ParseCatalogue(data, kinds.All())
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--models: %s:\n%w", o.catalogueName(), err)}
	}
	var all []string
	for _, spec := range catalogue.Models {
		all = append(all, spec.Name)
	}
	if err := known("--only", o.only, all); err != nil {
		return nil, nil, err
	}
	asked := all
	if len(o.only) > 0 {
		asked = o.only
	}
	if err := known("--compare", o.compare, asked); err != nil {
		return nil, nil, err
	}
	models, err := evaluate.Models(catalogue)
	if err != nil {
		return nil, nil, err
	}
	return catalogue, slices.DeleteFunc(models, func(m evaluate.Model) bool { return !slices.Contains(asked, m.Name) }), nil
}

// known refuses names that no model has.
func known(flag string, names, models []string) error {
	for _, name := range names {
		if !slices.Contains(models, name) {
			return usageError{fmt.Errorf("%s: no model %q is asked: there are %s", flag, name, strings.Join(models, ", "))}
		}
	}
	return nil
}

func (o *backtestOptions) catalogueName() string {
	if o.models == "" {
		return "infra/models.yaml, as built in"
	}
	return o.models
}

// read computes the trips' features and labels. What is wrong with a recording is
// returned beside the trips that came before it.
func (o *backtestOptions) read(ctx context.Context, stderr io.Writer, line *progressLine) (*backtest.Trips, error) {
	defer line.clear()
	records, closeFile, err := o.records(ctx, stderr)
	if err != nil {
		return nil, err
	}
	trips, err := backtest.Read(ctx, o.statements, line.reading(records))
	if trips != nil && o.limit > 0 && len(trips.Samples) > o.limit {
		trips.Samples = trips.Samples[:o.limit]
	}
	return trips, errors.Join(err, closeFile())
}

// records are those of a recording, or of the trips of a file or made up. A file
// is told by what is in it.
func (o *backtestOptions) records(ctx context.Context, stderr io.Writer) (iter.Seq2[recordings.Record, error], func() error, error) {
	if o.recorded() {
		r, err := recordings.Open(o.trips)
		if err != nil {
			return nil, nil, err
		}
		return r.Records(), r.Close, nil
	}
	source, err := simulate.OpenSource(o.trips, o.synthetic)
	if err != nil {
		return nil, nil, fmt.Errorf("--trips: %w", err)
	}
	if picky, ok := source.(interface{ Rejected() simulate.Rejected }); ok {
		if r := picky.Rejected(); r.Total > 0 {
			fmt.Fprintln(stderr, "trips:", r)
		}
	}
	return backtest.Records(ctx, source, o.limit), func() error { return nil }, nil
}

// isRecording reports whether the text of a file, gzipped or not, begins as JSON
// does. What cannot be read is not one; who opens it says why.
func isRecording(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	text := bufio.NewReader(f)
	if magic, err := text.Peek(2); err == nil && string(magic) == "\x1f\x8b" {
		plain, err := gzip.NewReader(text)
		if err != nil {
			return false
		}
		text = bufio.NewReader(plain)
	}
	first, err := text.ReadByte()
	return err == nil && first == '{'
}

// describe says where the report comes from, and compares.
func (o *backtestOptions) describe(r *backtest.Report, catalogue *online.Catalogue, cut error) error {
	canonical, err := json.Marshal(catalogue)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(canonical)
	r.Origin = backtest.Origin{
		Trips: o.trips, Models: o.catalogueName(), Catalogue: hex.EncodeToString(sum[:]), Command: o.command(),
	}
	if o.trips == simulate.TripsSynthetic {
		r.Origin.Trips = fmt.Sprintf("synthetic trips of seed %d", o.synthetic.Seed)
	}
	if cut != nil {
		r.Origin.Warning = cut.Error()
	}
	for i := range r.Models {
		spec, _ := catalogue.Find(r.Models[i].Name)
		r.Models[i].Spec = spec.Hash()
	}
	if len(o.compare) == 2 {
		c, err := r.Compare(o.compare[0], o.compare[1])
		if err != nil {
			return err
		}
		r.Comparisons = append(r.Comparisons, c)
	}
	return nil
}

// command makes the same report again: what does not change it is left out.
func (o *backtestOptions) command() string {
	words := []string{"go run ./local backtest --trips", quoted(o.trips)}
	if o.trips == simulate.TripsSynthetic {
		words = append(words, fmt.Sprintf("--seed %d", o.synthetic.Seed))
	}
	if o.limit > 0 {
		words = append(words, fmt.Sprintf("--limit %d", o.limit))
	}
	if o.sqlDir != "" {
		words = append(words, "--sql", quoted(o.sqlDir))
	}
	for _, name := range slices.Sorted(maps.Keys(o.set)) {
		words = append(words, "--set", quoted(name+"="+o.set[name]))
	}
	if o.models != "" {
		words = append(words, "--models", quoted(o.models))
	}
	if len(o.only) > 0 {
		words = append(words, "--only", strings.Join(o.only, ","))
	}
	if o.period > 0 {
		words = append(words, "--period", o.period.String())
	}
	if len(o.compare) > 0 {
		words = append(words, "--compare", strings.Join(o.compare, " "))
	}
	return strings.Join(words, " ")
}

// quoted is a word for the shell.
func quoted(word string) string {
	if strings.ContainsAny(word, " \t\n\"'\\$`*?[]{}()<>|&;#~!") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

func (o *backtestOptions) write(in invocation, r *backtest.Report, trips *backtest.Trips) error {
	if left := r.LeftOut(); left != "" {
		fmt.Fprintln(in.stderr, left)
	}
	var errs []error
	if o.json == "-" {
		errs = append(errs, r.WriteJSON(in.stdout))
	} else {
		errs = append(errs, r.WriteTable(in.stdout))
	}
	for _, file := range []struct {
		flag, name string
		write      func(io.Writer) error
	}{
		{"json", strings.TrimPrefix(o.json, "-"), r.WriteJSON},
		{"html", o.html, r.WriteHTML},
		{"samples", o.samples, func(w io.Writer) error { return writeSamples(w, asSamples(trips)) }},
	} {
		if file.name == "" {
			continue
		}
		if err := writeFile(file.name, file.write); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", file.flag, err))
		}
	}
	return errors.Join(errs...)
}

func asSamples(trips *backtest.Trips) []*sample {
	samples := make([]*sample, len(trips.Samples))
	for i, s := range trips.Samples {
		features := make(map[string]float64, len(s.X))
		for j, v := range s.X {
			if !math.IsNaN(v) {
				features[trips.Names[j]] = v
			}
		}
		samples[i] = &sample{tripID: s.ID, pickedUpAt: s.At, droppedOffAt: s.LabelAt, features: features, durationS: s.Y}
	}
	return samples
}

// progressLine is a line on a terminal that tells how far a backtest is.
type progressLine struct {
	out   io.Writer // nil if it is no terminal
	shown time.Time
}

func newProgressLine(out io.Writer) *progressLine {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progressLine{out: out}
	}
	return &progressLine{}
}

// reading counts the records as they go by.
func (p *progressLine) reading(records iter.Seq2[recordings.Record, error]) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		n := 0
		for r, err := range records {
			n++
			p.show("reading: " + strconv.Itoa(n) + " events")
			if !yield(r, err) {
				return
			}
		}
		p.shown = time.Time{}
		p.show("computing the features and labels of " + strconv.Itoa(n) + " events")
	}
}

func (p *progressLine) asking(asked, total int, at time.Time) {
	const width = 30
	done := width * asked / total
	p.show(fmt.Sprintf("asking: [%s%s] %3d %%  %s",
		strings.Repeat("#", done), strings.Repeat(".", width-done), 100*asked/total, at.UTC().Format("2006-01-02 15:04")))
}

func (p *progressLine) show(text string) {
	if p.out == nil || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, "\r%s\x1b[K", text)
}

func (p *progressLine) clear() {
	if p.out != nil && !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
