// The emotion of a stretch of a sound file, by a waveform artefact in ONNX Runtime's C++ interface.
//
//     predict MODEL.onnx SOUND.wav [START_S END_S]
//
// The artefact comes from: edgeser export lightweight-emodb --waveform -o MODEL.onnx

#include <onnxruntime_cxx_api.h>
#include <sndfile.hh>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iomanip>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using nlohmann::json;

// What the artefact says of itself.
struct Info {
  std::vector<std::string> labels;
  std::string cut;
  std::int64_t sample_rate, hop, history, min_frames, frames, hop_frames;
  double temperature, abstain_below;
};

Info read_info(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto said = session.GetModelMetadata().LookupCustomMetadataMapAllocated("edgeser-waveform", allocator);
  if (!said) throw std::runtime_error("the model takes no waveform: make it with edgeser export --waveform");
  const auto info = json::parse(said.get());
  const auto& window = info.at("window");
  return {info.at("labels"),        window.at("cut"),        info.at("sample_rate"),
          info.at("hop"),           info.at("history"),      info.at("min_frames"),
          window.at("frames"),      window.at("hop_frames"), info.at("temperature"),
          info.at("abstain_below")};
}

// A whole file as the mean of its channels, full scale at 1. The rate must be the model's: to
// resample is a matter of its own, for libsamplerate or soxr.
std::vector<float> read_sound(const std::string& path, std::int64_t rate) {
  SndfileHandle file(path);
  if (file.error() != SF_ERR_NO_ERROR) throw std::runtime_error(path + ": " + file.strError());
  if (file.samplerate() != rate) {
    throw std::runtime_error(path + ": it has " + std::to_string(file.samplerate()) + " Hz, the model wants " +
                             std::to_string(rate) + ": sox " + path + " -r " + std::to_string(rate) + " out.wav");
  }
  const auto channels = static_cast<std::size_t>(file.channels());
  std::vector<float> all(static_cast<std::size_t>(file.frames()) * channels);
  all.resize(static_cast<std::size_t>(file.readf(all.data(), file.frames())) * channels);
  std::vector<float> sound(all.size() / channels);
  for (std::size_t i = 0; i < all.size(); ++i) sound[i / channels] += all[i] / static_cast<float>(channels);
  return sound;
}

double seconds(const std::string& text) {
  std::size_t read = 0;
  double value = std::numeric_limits<double>::quiet_NaN();
  try {
    value = std::stod(text, &read);
  } catch (const std::exception&) {
    read = 0;
  }
  if (read != text.size() || !std::isfinite(value)) {
    throw std::runtime_error("START_S and END_S are seconds, such as 1.5; got " + text);
  }
  return value;
}

struct Span {
  std::int64_t first, count;
};

// The hops of a piece that the network takes: how the window policy cuts.
std::vector<Span> spans(std::int64_t hops, const Info& info) {
  if (info.cut == "whole" || hops <= info.frames) return {{0, hops}};
  if (info.cut == "centre") return {{(hops - info.frames) / 2, info.frames}};
  std::vector<Span> pieces;
  for (std::int64_t first = 0; first + info.frames <= hops; first += info.hop_frames) {
    pieces.push_back({first, info.frames});
  }
  if (pieces.back().first + info.frames < hops) pieces.push_back({hops - info.frames, info.frames});
  return pieces;
}

// The logits of one piece: `history` samples of what was before, zeros where there was nothing, then
// `count` hops from the sample `first` on.
std::vector<float> logits_of(Ort::Session& session, const Info& info, const std::vector<float>& sound,
                             std::int64_t first, std::int64_t count) {
  std::vector<float> piece(static_cast<std::size_t>(info.history + count * info.hop));
  const auto from = std::max<std::int64_t>(0, first - info.history);
  std::copy(sound.begin() + from, sound.begin() + first + count * info.hop,
            piece.begin() + (from - (first - info.history)));
  const std::array<std::int64_t, 2> shape{1, static_cast<std::int64_t>(piece.size())};
  const std::array<std::int64_t, 1> one{1};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::array<Ort::Value, 2> inputs{
      Ort::Value::CreateTensor<float>(memory, piece.data(), piece.size(), shape.data(), shape.size()),
      Ort::Value::CreateTensor<std::int64_t>(memory, &count, 1, one.data(), one.size())};
  const std::array<const char*, 2> names{"waveform", "frames"};
  const std::array<const char*, 1> wanted{"logits"};
  const auto outputs =
      session.Run(Ort::RunOptions{}, names.data(), inputs.data(), inputs.size(), wanted.data(), wanted.size());
  const float* logits = outputs.front().GetTensorData<float>();
  return {logits, logits + info.labels.size()};
}

std::vector<double> scores_of(const std::vector<double>& logits, double temperature) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> scores;
  double total = 0;
  for (const double logit : logits) {
    scores.push_back(std::exp((logit - highest) / temperature));
    total += scores.back();
  }
  for (double& score : scores) score /= total;
  return scores;
}

void predict(const std::string& model, const std::string& path, const std::string& from, const std::string& to) {
  Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "edgeser");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, model.c_str(), options);
  const auto info = read_info(session);
  const auto sound = read_sound(path, info.sample_rate);

  const auto rate = static_cast<double>(info.sample_rate);
  const auto size = static_cast<double>(sound.size());
  const double first = from.empty() ? 0 : std::round(seconds(from) * rate);
  const double last = to.empty() ? size : std::round(seconds(to) * rate);
  if (first < 0) throw std::runtime_error("START_S is before the sound: " + from);
  if (last > size) throw std::runtime_error("END_S is " + to + ", the sound ends at " + std::to_string(size / rate) + " s");
  if (last < first) throw std::runtime_error("END_S is before START_S: " + to + " and " + from);
  const auto start = static_cast<std::int64_t>(first);
  const auto end = static_cast<std::int64_t>(last);
  const auto hops = (end - start) / info.hop;
  if (hops < info.min_frames) {
    throw std::runtime_error("too short: it takes at least " + std::to_string(info.min_frames * info.hop) + " samples");
  }
  const auto heard = sound.begin() + std::max<std::int64_t>(0, start - info.history);
  if (!std::all_of(heard, sound.begin() + end, [](float sample) { return std::isfinite(sample); })) {
    throw std::runtime_error(path + ": has samples that are NaN or infinite: choose another stretch, or fix the file");
  }

  std::vector<double> mean(info.labels.size());
  const auto pieces = spans(hops, info);
  for (const auto& piece : pieces) {
    const auto logits = logits_of(session, info, sound, start + piece.first * info.hop, piece.count);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += logits[i] / static_cast<double>(pieces.size());
  }
  const auto scores = scores_of(mean, info.temperature);
  const auto best = std::max_element(scores.begin(), scores.end());
  std::cout << (*best < info.abstain_below ? "unknown" : info.labels[static_cast<std::size_t>(best - scores.begin())]);
  std::cout << std::fixed << std::setprecision(6);
  for (std::size_t i = 0; i < scores.size(); ++i) std::cout << ' ' << info.labels[i] << '=' << scores[i];
  std::cout << '\n';
}

int main(int argc, char** argv) {
  if (argc != 3 && argc != 5) {
    std::cerr << "usage: predict MODEL.onnx SOUND.wav [START_S END_S]\n";
    return 2;
  }
  try {
    predict(argv[1], argv[2], argc == 5 ? argv[3] : "", argc == 5 ? argv[4] : "");
  } catch (const std::exception& error) {
    std::cerr << "predict: " << error.what() << '\n';
    return 2;
  }
}
