// Package online is online machine learning on dense vectors: models that learn
// from one event at a time and can predict after every one of them.
//
// The models are River's (https://riverml.xyz), down to the last bits where
// their order of operations matters, in one package per family as in River:
// preprocess, linear, tree, neighbors, forest, ensemble, compose, drift, optim,
// stats, metrics. A Pipeline puts transformers before a model and names the
// features it takes; a Catalogue is pipelines as data, read from YAML; package
// kinds has every model of the house by its name, package evaluate judges models
// on recorded events, and package onlinetest is the suite that a model of yours
// has to pass as well.
//
// # Vectors
//
// A model sees a []float64 as wide as it was built. NaN is a missing feature,
// and so is an infinite one: a model skips it when it learns, as River skips a
// key that is not in the dict, and predicts as if it had not been asked for.
// Nothing that is not finite ever gets into a state: an update that would put
// it there (features near the largest float, weights that diverged) is dropped
// as a whole.
//
// # Concurrency
//
// Predict and Transform are pure: any number of goroutines may call them at
// once. Learn and UnmarshalBinary need the model for themselves.
package online

import "encoding"

// State is what has been learned, as bytes. See package state for their form.
type State interface {
	// AppendBinary appends the encoding of everything learned so far. A model
	// that reads it back predicts and learns exactly as this one, for ever after.
	encoding.BinaryAppender
	// UnmarshalBinary replaces what has been learned. The receiver was built
	// with the same parameters and width as the encoder. On an error, a
	// *state.FormatError, it is unchanged. The data is not kept.
	encoding.BinaryUnmarshaler
}

// Regressor predicts a number.
type Regressor interface {
	// Width is the length of the vectors the model takes.
	Width() int
	// Predict returns the prediction for x, in the unit of the labels learned.
	// It is NaN where the model has no finite answer. It changes nothing.
	Predict(x []float64) float64
	// Learn updates the model with one labelled event. x is not kept or changed.
	// A label that is not finite is not learned.
	Learn(x []float64, y float64)
	State
}

// Transformer turns one vector into another.
type Transformer interface {
	// Width is the length of the vectors it takes, and of those it gives.
	Width() (in, out int)
	// Transform appends the transformed x to dst. It changes nothing but dst,
	// which must not overlap x. A missing feature stays missing.
	Transform(dst, x []float64) []float64
	// Learn updates the transformer with one event. x is not kept or changed.
	Learn(x []float64)
	State
}
