package simulate

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZip  = []byte("PK\x03\x04")
	// magicEmptyZip is an archive's end record with nothing before it.
	magicEmptyZip = []byte("PK\x05\x06")
)

// decompress returns the text of r, which is plain, gzipped or a zip that holds
// one CSV file.
func decompress(r io.ReaderAt, size int64) (io.ReadCloser, error) {
	magic := make([]byte, 4)
	n, err := r.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	magic = magic[:n]
	switch {
	case bytes.HasPrefix(magic, magicGzip):
		text, err := gzip.NewReader(io.NewSectionReader(r, 0, size))
		if err != nil {
			return nil, fmt.Errorf("gunzip: %w", err)
		}
		return text, nil
	case bytes.HasPrefix(magic, magicZip), bytes.HasPrefix(magic, magicEmptyZip):
		return unzip(r, size)
	default:
		return io.NopCloser(io.NewSectionReader(r, 0, size)), nil
	}
}

func unzip(r io.ReaderAt, size int64) (io.ReadCloser, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("unzip: %w", err)
	}
	var csvs []*zip.File
	var names []string
	for _, f := range archive.File {
		if f.FileInfo().IsDir() || strings.HasPrefix(f.Name, "__MACOSX/") {
			continue
		}
		names = append(names, f.Name)
		if strings.EqualFold(path.Ext(f.Name), ".csv") {
			csvs = append(csvs, f)
		}
	}
	file := pickCSV(csvs)
	switch {
	case file != nil:
	case len(names) == 0:
		return nil, errors.New("unzip: the archive is empty")
	case len(csvs) == 0:
		return nil, fmt.Errorf("unzip: the archive holds no .csv but %s; unpack it and name the trips' file", quoteAll(names))
	default:
		return nil, fmt.Errorf("unzip: the archive holds several .csv files (%s); unpack it and name one", quoteAll(names))
	}
	text, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("unzip %s: %w", file.Name, err)
	}
	return text, nil
}

// pickCSV is the only CSV file of an archive, or Kaggle's train.csv among several.
func pickCSV(files []*zip.File) *zip.File {
	if len(files) == 1 {
		return files[0]
	}
	for _, f := range files {
		if path.Base(f.Name) == "train.csv" {
			return f
		}
	}
	return nil
}
