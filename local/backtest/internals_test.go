package backtest

// Predicted are the predictions by the number of the sample.
func (m *Model) Predicted() []float64 { return m.predicted }
