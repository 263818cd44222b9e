package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tripcast.dev/functions/online"
)

// A file of a model holds, in this order and with integers little-endian:
//
//	8 bytes   magic: 89 T C M 0D 0A 1A 0A, which a transfer as text would damage
//	uint32    format version, 1
//	uint32    length of the header
//	          header: JSON, a fileHeader
//	uint64    length of the state
//	          state, in the form of package state
//	32 bytes  SHA-256 of all before
//
// It has all that it takes to serve the model elsewhere but the code of its
// kinds. The same version of a model gives the same bytes.
const (
	fileMagic  = "\x89TCM\r\n\x1a\n"
	fileFormat = 1
)

// MaxFileBytes is the size of the largest file of a model: Redis holds no larger state.
const MaxFileBytes = 512 << 20

const maxHeaderBytes = 2 * online.MaxCatalogueBytes

// ErrFile is returned for what is not the file of a model, or damaged.
var ErrFile = errors.New("registry: file of a model")

// fileHeader is what a file says of its state.
type fileHeader struct {
	Spec     json.RawMessage `json:"spec"`      // of the catalogue, with the name of the model
	SpecHash string          `json:"spec_hash"` // in hexadecimal
	Version  uint64          `json:"version"`   // of the model, where it was exported
	Count    uint64          `json:"count"`     // labels behind the state
	Commit   string          `json:"commit"`    // the name of the commit
	Last     string          `json:"last_label,omitempty"`
	At       time.Time       `json:"committed_at"`
}

// AppendFile appends the file of a version. One that has learned nothing is an
// ErrNotFound, and a state that is not sound a *StateError.
func (k *Kept) AppendFile(b []byte) ([]byte, error) {
	if k.Snapshot.Version == 0 {
		return nil, fmt.Errorf("%w: model %s has learned nothing that could be exported", ErrNotFound, k.Spec.Name)
	}
	if _, err := k.Pipeline(); err != nil {
		return nil, err
	}
	spec, err := json.Marshal(k.Spec)
	if err != nil {
		return nil, fmt.Errorf("registry: export %s: encode its specification: %w", k.Spec.Name, err)
	}
	header, err := json.Marshal(fileHeader{
		Spec: spec, SpecHash: k.Spec.Hash(), Version: k.Snapshot.Version, Count: k.Snapshot.Count,
		Commit: k.Snapshot.Commit, Last: k.Snapshot.Last, At: k.Snapshot.At,
	})
	if err != nil {
		return nil, fmt.Errorf("registry: export %s: encode the header: %w", k.Spec.Name, err)
	}
	return appendFile(b, header, k.State), nil
}

func appendFile(b, header, state []byte) []byte {
	start := len(b)
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint32(b, fileFormat)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	b = append(b, header...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(state)))
	b = append(b, state...)
	sum := sha256.Sum256(b[start:])
	return append(b, sum[:]...)
}

// ParseFile reads the file of a model. What is no such file is an ErrFile, and
// so is one of a later format, or of kinds of models that are not known here. Its
// state is not decoded: Pipeline says whether it is sound. The data is not kept.
func ParseFile(data []byte, kinds online.Kinds) (*Kept, error) {
	header, state, err := splitFile(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var h fileHeader
	d := json.NewDecoder(bytes.NewReader(header))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrFile, err)
	}
	if h.Version == 0 || h.Version > maxVersion || h.Count > maxVersion || h.Commit == "" {
		return nil, fmt.Errorf("%w: its header has version %d, count %d and commit %.64q", ErrFile, h.Version, h.Count, h.Commit)
	}
	if ms := h.At.UnixMilli(); ms < 0 || ms > lastMillisecond {
		return nil, fmt.Errorf("%w: its header is of %s", ErrFile, h.At)
	}
	spec, err := parseSpec(h.Spec, kinds)
	if err != nil {
		return nil, fmt.Errorf("%w: its specification: %w", ErrFile, err)
	}
	if spec.Hash() != h.SpecHash {
		return nil, fmt.Errorf("%w: its specification has the hash %.64q, but is %s: the programs are too different, "+
			"export it with one that is like this one", ErrFile, h.SpecHash, spec.Hash())
	}
	return &Kept{
		Spec: spec,
		Snapshot: Snapshot{
			Version: h.Version, Count: h.Count, Commit: h.Commit, Spec: h.SpecHash, At: date(h.At), StateBytes: len(state), Last: h.Last,
		},
		State: bytes.Clone(state),
	}, nil
}

// maxVersion is the largest that a file may claim. A head has as many at most.
const maxVersion = 1<<63 - 2

// splitFile checks a file and returns its header and its state.
func splitFile(data []byte) (header, state []byte, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(fileMagic))
	if !ok {
		return nil, nil, errors.New("it does not begin as one does: it is something else, or was transferred as text")
	}
	if len(rest) < 8 {
		return nil, nil, errTruncated
	}
	if format := binary.LittleEndian.Uint32(rest); format != fileFormat {
		return nil, nil, fmt.Errorf("it has the format version %d, this program knows %d: a newer one reads it", format, fileFormat)
	}
	length := uint64(binary.LittleEndian.Uint32(rest[4:]))
	if length > maxHeaderBytes {
		return nil, nil, fmt.Errorf("its header would have %d bytes, at most %d are possible", length, maxHeaderBytes)
	}
	if rest = rest[8:]; uint64(len(rest)) < length+8 {
		return nil, nil, errTruncated
	}
	header, rest = rest[:length], rest[length:]
	length = binary.LittleEndian.Uint64(rest)
	if rest = rest[8:]; uint64(len(rest)) < sha256.Size || length > uint64(len(rest)-sha256.Size) {
		return nil, nil, errTruncated
	}
	state, rest = rest[:length], rest[length:]
	if len(rest) > sha256.Size {
		return nil, nil, fmt.Errorf("it goes on for %d bytes after its end", len(rest)-sha256.Size)
	}
	if sum := sha256.Sum256(data[:len(data)-sha256.Size]); !bytes.Equal(sum[:], rest) {
		return nil, nil, errors.New("its checksum is not that of its content: it is damaged, copy it again")
	}
	return header, state, nil
}

var errTruncated = errors.New("it ends early: copy it again")

// parseSpec reads a specification that stands alone.
func parseSpec(encoded []byte, kinds online.Kinds) (online.Spec, error) {
	var named struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(encoded, &named); err != nil {
		return online.Spec{}, err
	}
	catalogue, err := json.Marshal(map[string]any{"champion": named.Name, "models": []json.RawMessage{encoded}})
	if err != nil {
		return online.Spec{}, err
	}
	c, err := online.ParseCatalogue(catalogue, kinds)
	if err != nil {
		return online.Spec{}, err
	}
	return c.Models[0], nil
}
