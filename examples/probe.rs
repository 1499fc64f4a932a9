use std::sync::Arc;
use dysno::host::*; use dysno::ops::*; use dysno::report::Report; use dysno::store::GenerationKind;
struct R; impl Report for R { fn begin(&self,_:&str,_:Option<u64>){} fn advance(&self,_:u64){} fn end(&self){} fn warn(&self,w:&str){eprintln!("warn {w}")} fn note(&self,_:&str){} }
fn main(){ let a:Vec<String>=std::env::args().collect();
 let s=Surroundings{now:jiff::Timestamp::now,random:||{use std::time::*;SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()*7919},host_name:"x".into(),context:plugins::Context::default(),disk:Arc::new(dysno::disk::RealDisk)};
 let h=Host::open(Config::default(),a[1].as_ref(),s).unwrap_or_else(|e|panic!("{e}"));
 let unit:plugins::UnitAddress=a[3].parse().unwrap();
 let t=std::time::Instant::now();
 match &*a[2]{ "snapshot"=>{ let r=snapshot(&h,&SnapshotRequest{units:vec![unit],kind:GenerationKind::Manual,reason:"".into(),options:Default::default()},&R); match r{Ok(t)=>println!("{:?} {} {} {:.2}s",t[0].created,t[0].size_bytes,t[0].stored_bytes,t[0].seconds),Err(e)=>{let mut e:&dyn std::error::Error=&e; loop{eprintln!("{e}"); match e.source(){Some(s)=>e=s,None=>break}}}}}
 "restore"=>{ let sel=select(&h,&a[4]).unwrap(); let r=restore(&h,&RestoreRequest{unit,selected:sel,safety:Safety::Skip,options:Default::default()},&R); println!("{:?}",r.map(|r|r.seconds));}
 "verify"=>println!("{:?}",verify(&h,&[],Depth::Data,&R).map(|v|(v.bytes_checked,v.problems.len()))),
 "gc"=>println!("{:?}",gc(&h,&CollectRequest::default(),&R).map(|v|v.freed_bytes)),
 _=>panic!()}
 eprintln!("total {:.2}",t.elapsed().as_secs_f64());
}
