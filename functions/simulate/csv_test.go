package simulate

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	kaggleHeader = "id,vendor_id,pickup_datetime,dropoff_datetime,passenger_count,pickup_longitude,pickup_latitude,dropoff_longitude,dropoff_latitude,store_and_fwd_flag,trip_duration\n"
	kaggleRow    = "id1,2,2016-03-14 17:24:55,2016-03-14 17:32:30,1,-73.98,40.76,-73.96,40.75,N,455\n"
)

func readString(s string) (*CSV, error) { return readBytes([]byte(s)) }

func readBytes(b []byte) (*CSV, error) { return ReadCSV(bytes.NewReader(b), int64(len(b))) }

var kaggleTrip = Trip{
	ID: "id1", VendorID: 2, PassengerCount: 1,
	PickedUpAt:      time.Date(2016, 3, 14, 17, 24, 55, 0, time.UTC),
	DroppedOffAt:    time.Date(2016, 3, 14, 17, 32, 30, 0, time.UTC),
	PickupLongitude: -73.98, PickupLatitude: 40.76, DropoffLongitude: -73.96, DropoffLatitude: 40.75,
}

func TestCSVRows(t *testing.T) {
	row := func(column int, value string) string {
		fields := strings.Split(strings.TrimSpace(kaggleRow), ",")
		fields[column] = value
		return strings.Join(fields, ",") + "\n"
	}
	for _, c := range []struct {
		name   string
		row    string
		reason Reason // none is accepted
		detail string
	}{
		{name: "as it is", row: kaggleRow},
		{name: "spaces", row: strings.ReplaceAll(kaggleRow, ",", " , ")},
		{name: "quotes", row: row(0, `"id1"`)},
		{name: "CRLF", row: strings.TrimSpace(kaggleRow) + "\r\n"},
		{name: "no newline", row: strings.TrimSpace(kaggleRow)},
		{name: "RFC 3339", row: row(2, "2016-03-14T17:24:55Z")},

		{"no id", row(0, ""), ReasonID, "trip_id is missing"},
		{"id no header carries", row(0, "é"), ReasonID, "trip_id"},
		{"pick-up is no time", row(2, "noon"), ReasonTime, `pickup_datetime "noon"`},
		{"drop-off is no time", row(3, ""), ReasonTime, `dropoff_datetime ""`},
		{"no such day", row(2, "2016-02-30 17:24:55"), ReasonTime, "pickup_datetime"},
		{"another century", strings.ReplaceAll(kaggleRow, "2016", "1916"), ReasonTime, "picked_up_at"},
		{"vendor is no number", row(1, "CMT"), ReasonNumber, `vendor_id "CMT"`},
		{"vendor is huge", row(1, "99999999999"), ReasonNumber, "vendor_id"},
		{"half a passenger", row(4, "1.5"), ReasonNumber, "passenger_count"},
		{"owed a passenger", row(4, "-1"), ReasonPassengers, "passenger_count"},
		{"a bus", row(4, "208"), ReasonPassengers, "passenger_count"},
		{"latitude is no number", row(6, "north"), ReasonNumber, `pickup_latitude "north"`},
		{"NaN", row(6, "NaN"), ReasonCoordinates, "pickup_latitude"},
		{"infinity", row(7, "-Inf"), ReasonCoordinates, "dropoff_longitude"},
		{"off the globe", row(8, "91"), ReasonCoordinates, "dropoff_latitude"},
		{"around the globe", row(5, "-181"), ReasonCoordinates, "pickup_longitude"},
		{"no fix", strings.Replace(kaggleRow, "-73.98,40.76", "0,0", 1), ReasonCoordinates, "0,0"},
		{"zero duration", row(3, "2016-03-14 17:24:55"), ReasonNoDuration, "0s after"},
		{"negative duration", row(3, "2016-03-14 17:24:54"), ReasonNoDuration, "-1s after"},
		{name: "a whole day", row: row(3, "2016-03-15 17:24:55")},
		{"more than a day", row(3, "2016-03-15 17:24:56"), ReasonTooLong, "86401"},
		{"too few fields", "id1,2,2016-03-14 17:24:55\n", ReasonMalformed, "3 fields where the header has 11"},
		{"too many fields", strings.TrimSpace(kaggleRow) + ",1\n", ReasonMalformed, "12 fields"},
		{"stray quote", row(9, `N"`), ReasonMalformed, "stray quote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A good row before and after: a bad one costs only itself.
			before := strings.Replace(kaggleRow, "id1", "before", 1)
			after := "\n" + strings.Replace(kaggleRow, "id1", "after", 1)
			csv, err := readString(kaggleHeader + before + c.row + after)
			if err != nil {
				t.Fatal(err)
			}
			rejected := csv.Rejected()
			if c.reason == "" {
				if rejected.Total != 0 || csv.Len() != 3 {
					t.Fatalf("rejected: %s", rejected)
				}
				return
			}
			if csv.Len() != 2 || rejected.Total != 1 || rejected.ByReason[c.reason] != 1 || len(rejected.Examples) != 1 {
				t.Fatalf("accepted %d, rejected %+v; want 2 and one %q", csv.Len(), rejected, c.reason)
			}
			if e := rejected.Examples[0]; e.Line != 3 || e.Reason != c.reason || !strings.Contains(e.Detail, c.detail) {
				t.Errorf("the example is %v, want line 3: %s: ... %s", e, c.reason, c.detail)
			}
		})
	}
}

func TestCSVDuplicates(t *testing.T) {
	bad := strings.Replace(kaggleRow, "17:32:30", "17:00:00", 1)
	csv, err := readString(kaggleHeader + bad + kaggleRow + kaggleRow + kaggleRow)
	if err != nil {
		t.Fatal(err)
	}
	rejected := csv.Rejected()
	// The id of a rejected row is not taken.
	if csv.Len() != 1 || rejected.Total != 3 || rejected.ByReason[ReasonDuplicateID] != 2 {
		t.Errorf("accepted %d, %s", csv.Len(), rejected)
	}
	want := "3 rows rejected (2 duplicate id, 1 no duration); first: line 2: no duration: "
	if got := rejected.String(); !strings.HasPrefix(got, want) {
		t.Errorf("the report is %q, want %q...", got, want)
	}
}

func TestCSVManyRejected(t *testing.T) {
	csv, err := readString(kaggleHeader + kaggleRow + strings.Repeat("x\n", 100))
	if err != nil {
		t.Fatal(err)
	}
	rejected := csv.Rejected()
	if rejected.Total != 100 || len(rejected.Examples) != maxExamples || rejected.Examples[9].Line != 12 {
		t.Errorf("rejected %d with the examples %v", rejected.Total, rejected.Examples)
	}
}

func TestCSVColumnsInAnyOrder(t *testing.T) {
	csv, err := readString("\ufeffDropoff_Latitude, colour,dropoff_longitude,pickup_latitude,pickup_longitude,passenger_count,dropoff_datetime,pickup_datetime,vendor_id,id\n" +
		"40.75,yellow,-73.96,40.76,-73.98,1,2016-03-14T17:32:30-04:00,2016-03-14T17:24:55-04:00,2,id1\n")
	if err != nil {
		t.Fatal(err)
	}
	if trip, err := csv.Next(t.Context()); err != nil || trip != kaggleTrip {
		t.Errorf("the trip is %+v, %v; want %+v", trip, err, kaggleTrip)
	}
}

// TestCSVDurationIsReal crosses the night in which an hour is skipped: the trip
// is as long as it took, not as the clocks on the wall say.
func TestCSVDurationIsReal(t *testing.T) {
	row := strings.NewReplacer("2016-03-14 17:24:55", "2016-03-13T01:50:00-05:00", "2016-03-14 17:32:30", "2016-03-13T03:10:00-04:00").Replace(kaggleRow)
	csv, err := readString(kaggleHeader + row)
	if err != nil {
		t.Fatal(err)
	}
	trip, err := csv.Next(t.Context())
	if err != nil || trip.Duration() != 20*time.Minute || trip.PickedUpAt.Hour() != 1 {
		t.Errorf("the trip is %+v, %v; want 20 minutes from 01:50", trip, err)
	}
}

func TestCSVIsSorted(t *testing.T) {
	at := func(id, minute string) string {
		return strings.NewReplacer("id1", id, "17:24", "17:"+minute).Replace(kaggleRow)
	}
	csv, err := readString(kaggleHeader + at("c", "20") + at("a", "10") + at("d", "20") + at("b", "15"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, trip := range all(t, csv) {
		ids = append(ids, trip.ID)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(ids, want) {
		t.Errorf("the order is %v, want %v", ids, want)
	}
	if csv.Len() != 0 {
		t.Errorf("%d trips are left at the end", csv.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := csv.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want the context's", err)
	}
}

func zipped(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, kaggleHeader+strings.Replace(kaggleRow, "id1", name, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCSVFormats(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		id   string
	}{
		{"plain", []byte(kaggleHeader + kaggleRow), "id1"},
		{"gzip", gzipped(t, kaggleHeader+kaggleRow), "id1"},
		{"zip", zipped(t, "trips.csv"), "trips.csv"},
		{"zip of a Mac", zipped(t, "__MACOSX/._trips.csv", "trips.CSV"), "trips.CSV"},
		{"zip of Kaggle", zipped(t, "data/test.csv", "data/train.csv"), "data/train.csv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The name says nothing.
			path := filepath.Join(t.TempDir(), "trips.parquet")
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			source, err := OpenSource(path, SyntheticConfig{})
			if err != nil {
				t.Fatal(err)
			}
			trips := all(t, source)
			if len(trips) != 1 || trips[0].ID != c.id {
				t.Errorf("the trips are %+v, want %s", trips, c.id)
			}
		})
	}
}

func TestCSVUnreadable(t *testing.T) {
	var long strings.Builder
	long.WriteString(kaggleHeader)
	for i := range 5000 {
		// Ids that do not compress away.
		id := time.Unix(int64(i)*7919*7919, 0).UTC().Format("id20060102150405")
		long.WriteString(strings.Replace(kaggleRow, "id1", id, 1))
	}
	whole := gzipped(t, long.String())
	flipped := zipped(t, "trips.csv")
	flipped[60] ^= 0xff
	test := strings.Replace(strings.Replace(kaggleHeader, ",dropoff_datetime", "", 1), ",trip_duration", "", 1)

	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"empty", nil, []string{"the file is empty"}},
		{"header only", []byte(kaggleHeader), []string{"no trips", "no rows rejected"}},
		{"no row is a trip", []byte(kaggleHeader + "a\nb\n"), []string{"no trips", "2 rows rejected (2 malformed row)", "line 2"}},
		{"gzip cut short", whole[:len(whole)/2], []string{"after line ", "cut short"}},
		{"gzip header only", whole[:5], []string{"gunzip"}},
		{"gzip checksum", append(slices.Clone(whole[:len(whole)-8]), 0, 0, 0, 0, 0, 0, 0, 0), []string{"after line 5001", "checksum"}},
		{"zip cut short", zipped(t, "trips.csv")[:100], []string{"unzip"}},
		{"zip damaged", flipped, []string{"line"}},
		{"zip without csv", zipped(t, "train.zip", "test.zip"), []string{"no .csv", `"train.zip", "test.zip"`, "unpack"}},
		{"zip of several", zipped(t, "a.csv", "b.csv"), []string{"several", `"a.csv", "b.csv"`}},
		{"zip of nothing", zipped(t), []string{"empty"}},
		{"another table", []byte("id,fare\n1,2\n"), []string{"line 1", "no column vendor_id, pickup_datetime", `found "id", "fare"`}},
		{"the test set", []byte(test + "id1,2\n"), []string{"dropoff_datetime", "test set", "train.csv"}},
		{"one column missing", []byte(strings.Replace(kaggleHeader, "vendor_id", "vendor", 1)), []string{"no column vendor_id", `"vendor"`}},
		{"no text", []byte("PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\n"), []string{"line 1", "no column"}},
		{"open quote", []byte(kaggleHeader + kaggleRow + `"id2,` + kaggleRow), []string{"line 3", "quote"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			csv, err := readBytes(c.data)
			if err == nil {
				t.Fatalf("%d trips were read", csv.Len())
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
		})
	}

	if _, err := OpenCSV(filepath.Join(t.TempDir(), "absent.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error of an absent file is %v", err)
	}
	if _, err := OpenCSV(t.TempDir()); err == nil {
		t.Error("a directory is no error")
	}
}

func TestCSVRecordedMonth(t *testing.T) {
	csv, err := OpenCSV(realTrips(t))
	if err != nil {
		t.Fatal(err)
	}
	if csv.Len() != 58_894 || csv.Rejected().Total != 0 {
		t.Errorf("%d trips are accepted, want 58,894; %s", csv.Len(), csv.Rejected())
	}
}

func FuzzCSVRow(f *testing.F) {
	f.Add(strings.TrimSpace(kaggleRow))
	f.Add("id1,2,2016-03-14T17:24:55-04:00,2016-03-14T17:32:30-04:00,1,-73.98,40.76,-73.96,40.75,N,455")
	f.Add(`"i""d",,0000-00-00 00:00:00,,NaN,1e999,-0,0x1p-2,+Inf,,`)
	f.Add("id1,2,2099-12-31 23:59:59,2100-01-01 00:00:30,9,180,-90,-180,90,N,31")
	f.Fuzz(func(t *testing.T, row string) {
		csv, err := readString(kaggleHeader + row)
		if err != nil {
			return
		}
		for _, trip := range all(t, csv) {
			if bad := checkTrip(trip); bad != nil {
				t.Errorf("%q gave %+v, which is not a trip: %v", row, trip, bad)
			}
		}
	})
}

// FuzzReadCSV feeds whole files, archives among them.
func FuzzReadCSV(f *testing.F) {
	f.Add([]byte(kaggleHeader + kaggleRow))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		csv, err := readBytes(data)
		if err == nil && csv.Len() == 0 {
			t.Error("a file without trips is no error")
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	data, err := os.ReadFile(realTrips(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var trips int
	for b.Loop() {
		csv, err := readBytes(data)
		if err != nil {
			b.Fatal(err)
		}
		trips += csv.Len()
	}
	b.ReportMetric(float64(trips)/b.Elapsed().Seconds(), "trips/s")
}
