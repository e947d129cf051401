// SPDX-License-Identifier: Apache-2.0
// The main program of a simulation in Verilator, in place of cocotb's own (cocotb/share/lib/verilator/verilator.cpp).
//
// The order in which the design is evaluated and callbacks are called is that of cocotb's program, so that a run is the
// same with either. What differs is the cost of a clock in which nobody is woken:
//
// - Value changes are found here, in a short list of watched variables, after an evaluation or a write. (Verilator's own
//   search walks a list of heavy objects, and cocotb's program starts it about eight times a clock.)
// - Callbacks of other reasons are called where some are registered, not asked for at every point of a time step.
// - A bench top that declares its clock with `BENCH_CLOCK (tb/agents/hdl/burst_ports.svh) gets it from here: no delays
//   are compiled (--no-timing), no scheduler runs.
// - assay_variable() gives the address of a published variable, so that Python moves bursts by memory and not as strings
//   of binary digits through VPI; assay_feed() plays many bursts of a burst_source, with one wake of Python at their end
//   (tb/agents/direct.py).
//
// Five functions of Verilator's VPI are compiled under other names (flags in sim/cocotb_runner.py); those defined here,
// which cocotb calls, see every callback and every write first.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"
#include "verilated_vpi.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

#undef vpi_register_cb
#undef vpi_remove_cb
#undef vpi_release_handle
#undef vpi_free_object
#undef vpi_put_value

extern "C" {
// Verilator's.
vpiHandle verilator_vpi_register_cb(p_cb_data data);
PLI_INT32 verilator_vpi_remove_cb(vpiHandle handle);
PLI_INT32 verilator_vpi_release_handle(vpiHandle handle);
PLI_INT32 verilator_vpi_free_object(vpiHandle handle);
vpiHandle verilator_vpi_put_value(vpiHandle object, p_vpi_value value, p_vpi_time time, PLI_INT32 flags);
// Those of this program.
vpiHandle vpi_register_cb(p_cb_data data);
PLI_INT32 vpi_remove_cb(vpiHandle handle);
PLI_INT32 vpi_release_handle(vpiHandle handle);
PLI_INT32 vpi_free_object(vpiHandle handle);
vpiHandle vpi_put_value(vpiHandle object, p_vpi_value value, p_vpi_time time, PLI_INT32 flags);
// cocotb's.
void vlog_startup_routines_bootstrap(void);
}

namespace {

constexpr uint64_t kNever = ~static_cast<uint64_t>(0);
constexpr uint64_t kPicosecondsPerNanosecond = 1000;  // the builds' time precision is 1 ps

uint64_t now = 0;  // in ps

// A variable of the design in memory.
struct Variable {
  uint8_t* data = nullptr;
  size_t bytes = 0;  // 0: unknown
  PLI_INT32 bits = 0;
};

// The variable called `name`, with its scopes as cocotb names them ("top.signal"); an array only where `arrays` says so.
Variable find_variable(const std::string& name, bool arrays = false) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {};
  const std::string scope_name = name.substr(0, dot), variable_name = name.substr(dot + 1);
  // A port of the top stands in scope TOP; what the top's own scope has under its name is a copy.
  const bool of_top = scope_name.find('.') == std::string::npos;
  for (const std::string& full : {of_top ? "TOP" : scope_name, "TOP." + scope_name, scope_name}) {
    const VerilatedScope* const scope = Verilated::scopeFind(full.c_str());
    if (scope == nullptr) continue;
    const VerilatedVar* const variable = scope->varFind(variable_name.c_str());
    // An array's elements have handles of one name: they are left to Verilator.
    if (variable == nullptr || variable->isParam() || (variable->udims() != 0 && !arrays)) continue;
    return {static_cast<uint8_t*>(variable->datap()), variable->totalSize(), static_cast<PLI_INT32>(variable->entBits())};
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------------------
// Bursts for a burst_source (tb/agents/hdl/burst_source.sv)
// ---------------------------------------------------------------------------------------------------------------

// Whenever burst_ready_o falls, the next burst is put into burst_data_i and burst_count_i, as Python would do at that wake.
class Feeder {
 public:
  Feeder(const Variable& ready, const Variable& data, const Variable& count) : ready_(ready), data_(data), count_(count) {}

  // `bursts` rows of `bytes`, which stay where they are until they are played, each of `beats`, the last one of `last`.
  // The burst that the variables hold now comes before them.
  void play(const uint8_t* rows, uint64_t bursts, uint64_t bytes, uint64_t beats, uint64_t last) {
    rows_ = rows;
    left_ = bursts;
    bytes_ = bytes;
    beats_ = beats;
    last_ = last;
    was_ready_ = *ready_.data;
  }

  // Whether bursts are left, so that a change of ready concerns nobody else.
  bool active() const { return left_ != 0; }

  bool watches(const uint8_t* data) const { return data == ready_.data; }

  void poll() {
    const uint8_t ready = *ready_.data;
    const bool fell = was_ready_ != 0 && ready == 0;
    was_ready_ = ready;
    if (!fell) return;
    std::memcpy(data_.data, rows_, bytes_);
    rows_ += bytes_;
    --left_;
    const uint64_t count = left_ == 0 ? last_ : beats_;
    std::memcpy(count_.data, &count, count_.bytes);
  }

 private:
  Variable ready_, data_, count_;
  const uint8_t* rows_ = nullptr;
  uint64_t left_ = 0, bytes_ = 0, beats_ = 0, last_ = 0;
  uint8_t was_ready_ = 0;
};

std::vector<std::unique_ptr<Feeder>> feeders;

// ---------------------------------------------------------------------------------------------------------------
// Value changes
// ---------------------------------------------------------------------------------------------------------------

// A registered callback for the changes of one variable, its handle for VPI being its address.
class Watch {
 public:
  Watch(const s_cb_data& data, const Variable& variable) : data_(data), variable_(variable), before_(variable.bytes) {
    std::memcpy(before_.data(), variable_.data, variable_.bytes);
    format_ = data.value != nullptr ? data.value->format : vpiSuppressVal;
    for (const auto& feeder : feeders) {
      if (feeder->watches(variable.data)) feeder_ = feeder.get();
    }
  }

  bool removed = false;

  const uint8_t* data() const { return variable_.data; }

  // Whether `before` alone tells of a change: nearly all are single bits.
  bool simple() const { return variable_.bytes == 1 && feeder_ == nullptr; }

  uint8_t before() const { return before_[0]; }

  bool changed() {
    if (feeder_ != nullptr && feeder_->active()) {
      feeding_ = true;
      return false;
    }
    if (feeding_) {  // the change that brought the last burst was not for Python
      feeding_ = false;
      update();
    }
    return std::memcmp(variable_.data, before_.data(), variable_.bytes) != 0;
  }

  void call() {
    s_vpi_value value;
    value.format = format_;
    if (format_ != vpiSuppressVal) vpi_get_value(data_.obj, &value);
    s_cb_data data = data_;
    data.value = &value;
    data.cb_rtn(&data);
  }

  // What it has told of.
  void update() { std::memcpy(before_.data(), variable_.data, variable_.bytes); }

 private:
  s_cb_data data_;
  Variable variable_;
  std::vector<uint8_t> before_;
  PLI_INT32 format_;
  const Feeder* feeder_ = nullptr;  // of its variable
  bool feeding_ = false;
};

class Watches {
 public:
  vpiHandle add(const s_cb_data& data, const Variable& variable) {
    list_.push_back(std::make_unique<Watch>(data, variable));
    handles_.insert(list_.back().get());
    refresh_ = true;
    return reinterpret_cast<vpiHandle>(list_.back().get());
  }

  // Whether `handle` is one of these.
  bool remove(vpiHandle handle) {
    const auto found = handles_.find(reinterpret_cast<Watch*>(handle));
    if (found == handles_.end()) return false;
    (*found)->removed = true;
    handles_.erase(found);
    some_removed_ = true;
    refresh_ = true;
    return true;
  }

  // Call the callbacks of what has changed; those that are registered meanwhile wait. Returns whether there were any.
  bool poll() {
    if (refresh_) refresh();
    bool called = false;
    for (const Glance& glance : glances_) called |= *glance.data != glance.before;
    if (!called) {
      for (Watch* const watch : closer_) called |= watch->changed();
    }
    if (called) called = call();
    return called;
  }

 private:
  struct Glance {
    const uint8_t* data;
    uint8_t before;
  };

  // Call the callbacks of what has changed.
  bool call() {
    const size_t count = list_.size();
    size_t first = 0;
    while (first < count && (list_[first]->removed || !list_[first]->changed())) ++first;
    const bool called = first < count;
    if (called) {
      std::vector<Watch*> told;
      for (size_t i = first; i < count; ++i) {
        Watch* const watch = list_[i].get();
        if (watch->removed || !watch->changed()) continue;
        told.push_back(watch);
        watch->call();
      }
      for (Watch* const watch : told) watch->update();
    }
    refresh_ = true;
    return called;
  }

  // Drop what was removed, and note what a poll looks at, one after the other in memory.
  void refresh() {
    refresh_ = false;
    if (some_removed_) {
      list_.erase(std::remove_if(list_.begin(), list_.end(), [](const auto& watch) { return watch->removed; }),
                  list_.end());
      some_removed_ = false;
    }
    glances_.clear();
    closer_.clear();
    for (const auto& watch : list_) {
      if (watch->simple()) {
        glances_.push_back({watch->data(), watch->before()});
      } else {
        closer_.push_back(watch.get());
      }
    }
  }

  std::vector<std::unique_ptr<Watch>> list_;  // in the order in which they were registered
  std::unordered_set<Watch*> handles_;
  bool some_removed_ = false;
  bool refresh_ = false;  // whether these two no longer are those of the list
  std::vector<Glance> glances_;
  std::vector<Watch*> closer_;  // that need a closer look
};

// ---------------------------------------------------------------------------------------------------------------
// All callbacks
// ---------------------------------------------------------------------------------------------------------------
class Callbacks {
 public:
  vpiHandle add(p_cb_data data) {
    deadline_known_ = false;
    if (data == nullptr) return verilator_vpi_register_cb(data);
    switch (data->reason) {
      case cbValueChange: {
        const Variable& variable = variable_of(data->obj);
        if (variable.bytes != 0) return watches_.add(*data, variable);
        others_ = true;
        break;
      }
      // In the present time step, or in one to come, which is told by the time.
      case cbReadWriteSynch: read_write_ = true; break;
      case cbReadOnlySynch: read_only_ = true; break;
      case cbNextSimTime: next_time_ = true; break;
      default: break;
    }
    if ((data->reason == cbReadWriteSynch || data->reason == cbReadOnlySynch) && data->time != nullptr &&
        (data->time->low != 0 || data->time->high != 0)) {
      delayed_ = true;
    }
    return verilator_vpi_register_cb(data);
  }

  PLI_INT32 remove(vpiHandle handle) {
    if (watches_.remove(handle)) return 1;
    deadline_known_ = false;
    return verilator_vpi_remove_cb(handle);
  }

  void forget(vpiHandle handle) { variables_.erase(handle); }

  // Value changes, until nobody writes any more.
  void settle() {
    while (watches_.poll()) {
    }
    for (const auto& feeder : feeders) {
      if (feeder->active()) feeder->poll();
    }
    if (others_) {
      while (VerilatedVpi::callValueCbs()) {
      }
    }
  }

  // Something is written, at once or when the evaluation has ended.
  void write() { written_ = true; }

  // Whether a write asks for an evaluation.
  bool evaluation_needed() const { return written_ && VerilatedVpi::evalNeeded(); }

  // After an evaluation: writes that waited for it are made.
  void evaluated() {
    if (written_) {
      VerilatedVpi::clearEvalNeeded();
      VerilatedVpi::doInertialPuts();
      written_ = VerilatedVpi::evalNeeded();
    }
    settle();
  }

  // No evaluation is needed any more: what is written now asks for another one.
  void read_write() {
    const bool called = pending(read_write_) && VerilatedVpi::callCbs(cbReadWriteSynch);
    if (written_) VerilatedVpi::doInertialPuts();
    if (called || evaluation_needed()) settle();
  }

  void read_only() {
    if (pending(read_only_)) VerilatedVpi::callCbs(cbReadOnlySynch);
  }

  // When the next callback is due.
  uint64_t deadline() {
    if (!deadline_known_) {
      deadline_ = VerilatedVpi::cbNextDeadline();
      deadline_known_ = true;
    }
    return deadline_;
  }

  // The beginning of a time step.
  void next_time() {
    if (next_time_) {
      next_time_ = false;
      VerilatedVpi::callCbs(cbNextSimTime);
      settle();
    }
    if (deadline() <= now) {
      VerilatedVpi::callTimedCbs();
      deadline_known_ = false;
      settle();
    }
  }

 private:
  // They are called once.
  bool pending(bool& registered) const {
    const bool was = registered || delayed_;
    registered = false;
    return was;
  }

  // The variable behind an object; it is looked for once.
  const Variable& variable_of(vpiHandle object) {
    const auto [found, added] = variables_.try_emplace(object);
    if (added && object != nullptr) {
      const char* const name = vpi_get_str(vpiFullName, object);
      if (name != nullptr) {
        const Variable variable = find_variable(name);
        // A part of a variable has its name and fewer bits: it is left to Verilator.
        if (vpi_get(vpiSize, object) == variable.bits) found->second = variable;
      }
    }
    return found->second;
  }

  Watches watches_;
  std::unordered_map<vpiHandle, Variable> variables_;
  bool others_ = false;  // value changes that Verilator itself watches
  bool read_write_ = false, read_only_ = false, next_time_ = false, delayed_ = false;
  bool written_ = false;
  bool deadline_known_ = false;
  uint64_t deadline_ = kNever;
};

Callbacks callbacks;

// ---------------------------------------------------------------------------------------------------------------
// The clock of a bench top
// ---------------------------------------------------------------------------------------------------------------
class BenchClock {
 public:
  // Looks for the variables that `BENCH_CLOCK declares in the top.
  void find() {
    for (const auto& [name, scope] : *Verilated::scopeNameMap()) {
      const VerilatedVar* const period = scope->varFind("assay_half_period_ns");
      const VerilatedVar* const clock = scope->varFind("clk_i");
      if (period == nullptr || clock == nullptr) continue;
      level_ = static_cast<uint8_t*>(clock->datap());
      half_period_ = kPicosecondsPerNanosecond * *static_cast<const uint32_t*>(period->datap());
      next_ = half_period_;
    }
  }

  uint64_t next() const { return next_; }

  void toggle_if_due() {
    if (next_ > now) return;
    *level_ ^= 1;
    next_ += half_period_;
  }

 private:
  uint8_t* level_ = nullptr;
  uint64_t half_period_ = 0;
  uint64_t next_ = kNever;
};

void wrap_up() {
  VerilatedVpi::callCbs(cbEndOfSimulation);
}

}  // namespace

double sc_time_stamp() { return static_cast<double>(now); }

extern "C" {

vpiHandle vpi_register_cb(p_cb_data data) { return callbacks.add(data); }

PLI_INT32 vpi_remove_cb(vpiHandle handle) { return callbacks.remove(handle); }

PLI_INT32 vpi_release_handle(vpiHandle handle) {
  callbacks.forget(handle);
  return verilator_vpi_release_handle(handle);
}

PLI_INT32 vpi_free_object(vpiHandle handle) {
  callbacks.forget(handle);
  return verilator_vpi_free_object(handle);
}

vpiHandle vpi_put_value(vpiHandle object, p_vpi_value value, p_vpi_time time, PLI_INT32 flags) {
  callbacks.write();
  return verilator_vpi_put_value(object, value, time, flags);
}

// For Python, by ctypes, as the next ones: the memory of the published variable `name` ("top.signal"), which may be an array,
// and its bytes; null: there is none.
__attribute__((visibility("default"))) const void* assay_variable(const char* name, uint64_t* bytes) {
  const Variable variable = find_variable(name, true);
  *bytes = variable.bytes;
  return variable.data;
}

// The number of a feeder for three variables; -1: one of them is unknown.
__attribute__((visibility("default"))) int assay_feeder(const char* ready, const char* data, const char* count) {
  const Variable found[] = {find_variable(ready), find_variable(data), find_variable(count)};
  if (found[0].bytes != 1 || found[1].bytes == 0 || found[2].bytes == 0 || found[2].bytes > sizeof(uint64_t)) return -1;
  for (size_t i = 0; i < feeders.size(); ++i) {
    if (!feeders[i]->watches(found[0].data)) continue;
    feeders[i]->play(nullptr, 0, 0, 0, 0);  // a test before may have left some
    return static_cast<int>(i);
  }
  feeders.push_back(std::make_unique<Feeder>(found[0], found[1], found[2]));
  return static_cast<int>(feeders.size()) - 1;
}

#if VM_COVERAGE
// Writes what was counted since the last call, or since the start, and counts from 0 again.
__attribute__((visibility("default"))) void assay_coverage(const char* path) {
  Verilated::threadContextp()->coveragep()->write(path);
  Verilated::threadContextp()->coveragep()->zero();
}
#endif

// See Feeder::play; no bursts: what is left is dropped.
__attribute__((visibility("default"))) void assay_feed(int feeder, const uint8_t* rows, uint64_t bursts, uint64_t bytes,
                                                      uint64_t beats, uint64_t last) {
  feeders[static_cast<size_t>(feeder)]->play(rows, bursts, bytes, beats, last);
}
}

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  // Else the model makes idle threads by the number of cores, and the process cannot be forked (sim/fork_point.py).
  Verilated::threadContextp()->threads(1);
  const auto top = std::make_unique<Vtop>("");
  Verilated::fatalOnVpiError(false);  // else system tasks that VPI knows not would be fatal
#if VM_TRACE
  Verilated::traceEverOn(true);
#endif
  BenchClock clock;

  vlog_startup_routines_bootstrap();
  Verilated::addExitCb([](void*) { wrap_up(); }, nullptr);
  VerilatedVpi::callCbs(cbStartOfSimulation);
  callbacks.settle();

  while (!Verilated::gotFinish()) {
    do {
      do {
        top->eval_step();
        callbacks.evaluated();
      } while (callbacks.evaluation_needed());
      callbacks.read_write();
    } while (callbacks.evaluation_needed());
    top->eval_end_step();
    callbacks.read_only();
    if (now == 0) clock.find();  // its variables have their values now

    const uint64_t delays = top->eventsPending() ? top->nextTimeSlot() : kNever;
    const uint64_t next = std::min({clock.next(), delays, callbacks.deadline()});
    if (next == kNever) break;
    now = next;
    callbacks.next_time();
    clock.toggle_if_due();
  }

  top->final();
  wrap_up();
  // An assertion that failed is a failed run.
  return Verilated::threadContextp()->errorCount() > 0 ? 1 : 0;
}
